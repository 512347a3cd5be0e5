//! What the machine is and has, as the kernel says it.

use std::fs;
use std::path::Path;

use suigen_crds::hypervisor::{Capacity, CpuFacts};
use suigen_crds::ident::BootId;

/// Why the present boot has no name.
#[derive(Debug, thiserror::Error)]
#[error("read the boot id: {0}")]
pub struct NoBootId(String);

/// The kernel's name of the present boot.
///
/// # Errors
/// When the kernel does not say it.
pub fn boot_id() -> Result<BootId, NoBootId> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|error| NoBootId(error.to_string()))?;
    BootId::try_from(text.trim().to_owned()).map_err(|error| NoBootId(error.to_string()))
}

/// The CPU. What the kernel does not say is empty or one.
pub(super) fn cpu() -> CpuFacts {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str, longest: usize| -> String {
        cpuinfo_field(&info, name).unwrap_or_default().chars().take(longest).collect()
    };
    let numa = fs::read_to_string("/sys/devices/system/node/online").unwrap_or_default();
    CpuFacts {
        vendor: field("vendor_id", 32),
        model: field("model name", 128),
        logical_cpus: logical_cpus(),
        numa_nodes: count_list(&numa).max(1),
    }
}

/// What there is of CPU time, memory and disk. The disk is that of `state`.
pub(super) fn capacity(state: &Path) -> Capacity {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = rustix::fs::statvfs(existing(state))
        .map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
    Capacity {
        cpu_millis: logical_cpus().saturating_mul(1000),
        memory_bytes: total_memory(&info),
        local_disk_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
    }
}

/// SMBIOS type 1, which only root may read. Some boards have none, or all
/// zeroes, or all ones.
pub(super) fn smbios_uuid() -> Option<String> {
    let text = fs::read_to_string("/sys/class/dmi/id/product_uuid").ok()?;
    let uuid = text.trim().to_ascii_lowercase();
    let digits = |c: char| uuid.chars().all(|d| d == c || d == '-');
    (uuid.len() == 36 && !digits('0') && !digits('f')).then_some(uuid)
}

/// The directory, or the nearest above it that exists.
fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"))
}

fn logical_cpus() -> i32 {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    count_list(&online).max(1)
}

fn cpuinfo_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn total_memory(info: &str) -> i64 {
    let line = cpuinfo_field(info, "MemTotal").unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|word| word.parse::<i64>().ok());
    kibibytes.unwrap_or_default().saturating_mul(1024)
}

/// Counts a list as in `0-3,8`.
fn count_list(list: &str) -> i32 {
    let count = |range: &str| -> Option<i32> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
        Some(last - first + 1)
    };
    list.trim().split(',').filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_counted() {
        for (list, count) in [("0\n", 1), ("0-3,8\n", 5), ("", 0), ("x", 0)] {
            assert_eq!(count_list(list), count, "{list:?}");
        }
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(total_memory("MemTotal:       24 kB\nMemFree: 1 kB\n"), 24 << 10);
        assert_eq!(total_memory(""), 0);
    }

    #[test]
    fn kernel_this_machine_has_something() {
        let capacity = capacity(Path::new("/does/not/exist/yet"));
        assert!(capacity.cpu_millis >= 1000 && capacity.memory_bytes > 0);
        assert!(capacity.local_disk_bytes > 0);
        assert!(!cpu().vendor.is_empty());
        boot_id().unwrap();
    }
}
