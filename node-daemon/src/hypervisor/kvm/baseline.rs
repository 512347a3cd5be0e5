//! The CPU that every server gets, in the terms of CPUID.

use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::Kvm;

use super::{Failure, ioctl};

/// What x86-64-v2 has beyond what every 64-bit CPU has: leaf 1, ECX.
/// (Intel SDM volume 2, CPUID; x86-64 psABI, micro-architecture levels.)
const LEAF_1_ECX: [(&str, u32); 6] =
    [("sse3", 0), ("ssse3", 9), ("cx16", 13), ("sse4.1", 19), ("sse4.2", 20), ("popcnt", 23)];
/// What every 64-bit CPU has, as far as a server's has it: leaf 1, EDX, without
/// extensions of virtual-8086 mode (bit 1).
const LEAF_1_EDX: u32 = 0x078b_fbfd;
/// Leaf 0x8000_0001, ECX.
const EXTENDED_ECX: [(&str, u32); 1] = [("lahf_lm", 0)];
/// Leaf 0x8000_0001, EDX.
const EXTENDED_EDX: [(&str, u32); 3] = [("syscall", 11), ("nx", 20), ("lm", 29)];

pub(super) fn check(kvm: &Kvm) -> Result<(), Failure> {
    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(ioctl("ask for the CPU that it offers"))?;
    let leaf = |function| {
        cpuid
            .as_slice()
            .iter()
            .find(|entry| entry.function == function)
            .map_or((0, 0), |entry| (entry.ecx, entry.edx))
    };
    let lacking = missing(leaf(1), leaf(0x8000_0001));
    if lacking.is_empty() { Ok(()) } else { Err(Failure::Baseline(lacking.join(", "))) }
}

/// Registers are (ECX, EDX).
fn missing(basic: (u32, u32), extended: (u32, u32)) -> Vec<&'static str> {
    let wanted = [
        (basic.0, &LEAF_1_ECX[..]),
        (extended.0, &EXTENDED_ECX[..]),
        (extended.1, &EXTENDED_EDX[..]),
    ];
    let lacks = |(register, bits): (u32, &'static [(&'static str, u32)])| {
        bits.iter().filter(move |(_, bit)| register & (1 << bit) == 0).map(|(name, _)| *name)
    };
    let basic_lacking = (basic.1 & LEAF_1_EDX != LEAF_1_EDX).then_some("basic features");
    basic_lacking.into_iter().chain(wanted.into_iter().flat_map(lacks)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let all = u32::MAX;
        assert_eq!(missing((all, LEAF_1_EDX), (all, all)), Vec::<&str>::new());
        assert_eq!(missing((!(1 << 23), all), (all, !(1 << 20))), ["popcnt", "nx"]);
        assert_eq!(missing((all, 0), (all, all)), ["basic features"]);
    }
}
