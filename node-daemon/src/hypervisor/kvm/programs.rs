//! The programs of the self-test, as bytes with the assembly beside them, and
//! the state of the CPU in which they start.

use kvm_bindings::{kvm_segment, kvm_sregs};

/// Size of the guest's memory, in bytes.
pub(super) const MEMORY: usize = 0x1_0000;
/// The port at which a program gives its result.
pub(super) const PORT: u16 = 0xf4;

/// Where the code is, in guest-physical addresses.
const CODE: usize = 0x1000;
/// The page that the 64-bit program writes to; virtually at `CODE_VIRTUAL + 0x1000`.
const DATA: usize = 0x2000;
/// Four levels of page tables, a page each.
const TABLES: usize = 0x3000;
/// The segment descriptors and the interrupt gates.
const GDT: usize = 0x8000;
const IDT: usize = 0x9000;
/// Two pages from here on are mapped elsewhere than they are, so that a guest
/// whose paging does nothing fails.
const CODE_VIRTUAL: u64 = 0x40_0000;
/// Below it the exception's frame is pushed.
const STACK_VIRTUAL: u64 = CODE_VIRTUAL + 0x1f00;
/// Offset of the exception's handler in the code.
const HANDLER: usize = 0x80;

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// Adds 2 and 3 in 16-bit real mode, through memory.
    RealMode,
    /// Sums 1 to 100 in 64-bit mode with paging, counts the bits of the sum,
    /// and takes an exception.
    LongMode,
    /// Never ends.
    #[cfg(test)]
    Endless,
}

impl Program {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RealMode => "a program in real mode",
            Self::LongMode => "a program in 64-bit mode with paging",
            #[cfg(test)]
            Self::Endless => "a program without an end",
        }
    }

    /// What it gives at [`PORT`].
    pub(super) const fn result(self) -> &'static [u8] {
        match self {
            Self::RealMode => b"5\0",
            // 5050 with one from the handler, in little-endian order.
            Self::LongMode => &[0xbb, 0x13, 0x00, 0x00],
            #[cfg(test)]
            Self::Endless => &[],
        }
    }

    /// Numbers that it leaves in memory: address and value.
    pub(super) const fn left_behind(self) -> &'static [(usize, u64)] {
        match self {
            Self::RealMode => &[(DATA, b'5' as u64)],
            // 5050 is 0b1_0011_1011_1010.
            Self::LongMode => &[(DATA, 5051), (DATA + 8, 8)],
            #[cfg(test)]
            Self::Endless => &[],
        }
    }

    pub(super) const fn start(self) -> u64 {
        match self {
            Self::LongMode => CODE_VIRTUAL,
            _ => CODE as u64,
        }
    }

    pub(super) const fn stack(self) -> u64 {
        match self {
            Self::LongMode => STACK_VIRTUAL,
            _ => 0x7000,
        }
    }

    /// Fills the guest's memory.
    pub(super) fn load(self, memory: &mut [u8]) {
        match self {
            Self::RealMode => put(memory, CODE, &REAL_MODE),
            Self::LongMode => {
                put(memory, CODE, &LONG_MODE);
                put(memory, CODE + HANDLER, &LONG_MODE_HANDLER);
                tables(memory);
            }
            #[cfg(test)]
            Self::Endless => put(memory, CODE, &[0xeb, 0xfe]),
        }
    }

    /// Sets the CPU to the mode of the program.
    pub(super) fn prepare(self, sregs: &mut kvm_sregs) {
        match self {
            Self::LongMode => long_mode(sregs),
            _ => (sregs.cs.base, sregs.cs.selector) = (0, 0),
        }
    }
}

/// With 2 in AL, 3 in BL.
const REAL_MODE: [u8; 15] = [
    0x00, 0xd8, // add %bl,%al
    0x83, 0xc0, 0x30, // add $'0',%ax
    0xa3, 0x00, 0x20, // mov %ax,0x2000
    0x8b, 0x0e, 0x00, 0x20, // mov 0x2000,%cx
    0xe7, 0xf4, // out %ax,$0xf4
    0xf4, // hlt
];

const LONG_MODE: [u8; 39] = [
    0xbf, 0x00, 0x10, 0x40, 0x00, // mov $0x401000,%edi
    0xb9, 0x64, 0x00, 0x00, 0x00, // mov $100,%ecx
    0x31, 0xc0, // xor %eax,%eax
    0x48, 0x01, 0xc8, // 1: add %rcx,%rax
    0x48, 0xff, 0xc9, // dec %rcx
    0x75, 0xf8, // jnz 1b
    0xf3, 0x48, 0x0f, 0xb8, 0xd8, // popcnt %rax,%rbx
    0x48, 0x89, 0x07, // mov %rax,(%rdi)
    0x48, 0x89, 0x5f, 0x08, // mov %rbx,8(%rdi)
    0xcc, // int3
    0x48, 0x8b, 0x07, // mov (%rdi),%rax
    0xe7, 0xf4, // out %eax,$0xf4
    0xf4, // hlt
];

const LONG_MODE_HANDLER: [u8; 5] = [
    0x48, 0xff, 0x07, // incq (%rdi)
    0x48, 0xcf, // iretq
];

fn put(memory: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = memory.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Page tables, segment descriptors and the gate of the breakpoint exception
/// (Intel SDM volume 3, 4.5, 3.4.5 and 6.14.1).
fn tables(memory: &mut [u8]) {
    const PRESENT_WRITABLE: u64 = 0b11;
    const BREAKPOINT: usize = 3;
    let entry = |physical: usize| (physical as u64 | PRESENT_WRITABLE).to_le_bytes();
    let page = |level: usize| TABLES + level * 0x1000;
    put(memory, page(0), &entry(page(1)));
    put(memory, page(1), &entry(page(2)));
    // The page directory's third entry is for the addresses from 4 MiB on.
    put(memory, page(2) + 2 * 8, &entry(page(3)));
    put(memory, page(3), &entry(CODE));
    put(memory, page(3) + 8, &entry(DATA));
    // Descriptors and gates are found through paging, too.
    put(memory, page(3) + GATES_PAGE * 8, &entry(GDT));
    put(memory, page(3) + (GATES_PAGE + 1) * 8, &entry(IDT));
    // Selector 8: 64-bit code, present, not conforming. Selector 16: data.
    put(memory, GDT + 8, &0x00af_9b00_0000_ffff_u64.to_le_bytes());
    put(memory, GDT + 16, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
    let handler = CODE_VIRTUAL + HANDLER as u64;
    let gate = (handler & 0xffff) | 8 << 16 | 0x8e00 << 32 | (handler >> 16 & 0xffff) << 48;
    put(memory, IDT + BREAKPOINT * 16, &gate.to_le_bytes());
}

/// Place of the descriptors' page in the last page table.
const GATES_PAGE: usize = 8;

fn long_mode(sregs: &mut kvm_sregs) {
    const PROTECTED_MODE: u64 = 1;
    const NUMERIC_ERROR: u64 = 1 << 5;
    const EXTENSION_TYPE: u64 = 1 << 4;
    const PAGING: u64 = 1 << 31;
    const PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
    const LONG_MODE_ENABLE_AND_ACTIVE: u64 = 1 << 8 | 1 << 10;
    let segment = |selector, type_, long| kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: 0,
        db: 1 - long,
        s: 1,
        l: long,
        g: 1,
        ..Default::default()
    };
    sregs.cs = segment(8, 11, 1);
    let data = segment(16, 3, 0);
    for register in [&mut sregs.ds, &mut sregs.es, &mut sregs.fs, &mut sregs.gs, &mut sregs.ss] {
        *register = data;
    }
    let gates = CODE_VIRTUAL + (GATES_PAGE as u64) * 0x1000;
    sregs.gdt.base = gates;
    sregs.gdt.limit = 3 * 8 - 1;
    sregs.idt.base = gates + 0x1000;
    sregs.idt.limit = 16 * 16 - 1;
    sregs.cr3 = TABLES as u64;
    sregs.cr4 = PHYSICAL_ADDRESS_EXTENSION;
    sregs.cr0 = PROTECTED_MODE | EXTENSION_TYPE | NUMERIC_ERROR | PAGING;
    sregs.efer = LONG_MODE_ENABLE_AND_ACTIVE;
}
