//! What memory of a process is, from `/proc/PID/smaps` (proc_pid_smaps(5)).
//!
//! Counted is the proportional set size: a page that several processes share
//! is split evenly among them.

use std::fs;

use anyhow::{Context, Result};

/// The memory of a QEMU, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct GuestMemory {
    /// Pages of the guest's RAM that exist.
    pub ram: u64,
    /// Guest code translated for this processor: only emulation needs it.
    pub translated: u64,
    /// The program, its libraries and other files.
    pub files: u64,
    /// Heap, stacks and all else.
    pub other: u64,
}

impl GuestMemory {
    /// What a guest costs beyond its RAM.
    pub fn overhead(&self) -> u64 {
        self.translated + self.files + self.other
    }

    /// The memory of a running QEMU.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/smaps");
        let memory = parse(&fs::read_to_string(&path).with_context(|| format!("read {path}"))?);
        anyhow::ensure!(memory.ram > 0, "{path} shows no memfd with the guest's RAM");
        Ok(memory)
    }
}

/// The proportional set size of a process, in bytes.
pub fn pss(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    text.lines().find_map(pss_of_line).with_context(|| format!("find Pss in {path}"))
}

/// Sorts the mappings of a QEMU whose guest RAM is a memfd.
pub fn parse(smaps: &str) -> GuestMemory {
    let mut memory = GuestMemory::default();
    let mut mapping = Mapping::Other;
    for line in smaps.lines() {
        if let Some(next) = Mapping::of_header(line) {
            mapping = next;
        } else if let Some(bytes) = pss_of_line(line) {
            let sum = match mapping {
                Mapping::Ram => &mut memory.ram,
                Mapping::Translated => &mut memory.translated,
                Mapping::File => &mut memory.files,
                Mapping::Other => &mut memory.other,
            };
            *sum += bytes;
        }
    }
    memory
}

#[derive(Clone, Copy)]
enum Mapping {
    Ram,
    Translated,
    File,
    Other,
}

impl Mapping {
    /// `7f00-7f01 rw-s 00000000 00:01 42 /memfd:memory-backend-memfd (deleted)`
    fn of_header(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        if !fields.next()?.contains('-') {
            return None;
        }
        let permissions = fields.next()?;
        let path = fields.nth(3).unwrap_or_default();
        Some(if path.starts_with("/memfd:memory-backend") {
            Self::Ram
        } else if path.is_empty() && permissions.contains("wx") {
            Self::Translated
        } else if path.starts_with('/') && !path.starts_with("/memfd:") {
            Self::File
        } else {
            Self::Other
        })
    }
}

fn pss_of_line(line: &str) -> Option<u64> {
    let kib = line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55a0-55b0 r-xp 00000000 00:20 77                        /usr/bin/qemu-system-x86_64
Size:               4096 kB
Rss:                4000 kB
Pss:                1000 kB
Pss_Dirty:             4 kB
VmFlags: rd ex mr mw me
7f00-7f01 rwxp 00000000 00:00 0
Pss:                 300 kB
7f01-7f02 rw-s 00000000 00:01 42                        /memfd:memory-backend-memfd (deleted)
Pss:               65536 kB
7f02-7f03 rw-s 00000000 00:01 43                        /memfd:rom (deleted)
Pss:                   8 kB
7f03-7f04 rw-p 00000000 00:00 0                         [heap]
Pss:                  20 kB
7f05-7f06 rw-p 00000000 00:00 0
Pss:                   2 kB
";

    #[test]
    fn only_the_memory_backend_is_the_guests_ram() {
        let kib = |count: u64| count * 1024;
        let memory = parse(SMAPS);
        let wanted =
            GuestMemory { ram: kib(65536), translated: kib(300), files: kib(1000), other: kib(30) };
        assert_eq!(memory, wanted);
        assert_eq!(memory.overhead(), kib(1330));
    }

    #[test]
    fn the_tests_own_process_has_memory() {
        assert!(pss(std::process::id()).unwrap() > 100 * 1024);
        assert!(GuestMemory::of(std::process::id()).is_err());
    }
}
