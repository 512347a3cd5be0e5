//! Disk images of guests, assembled from files: no loop device, no mount.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::command;

/// Boot code that starts the partition marked bootable in a GPT; from `syslinux`.
const GPT_BOOT_CODE: &str = "/usr/lib/SYSLINUX/gptmbr.bin";

/// Bytes in a MiB, the unit of partitions.
pub(super) const MIB: u64 = 1 << 20;

/// A partition: its GPT name, `sgdisk` type code, size, and what to put there.
#[derive(Debug, Clone, Copy)]
pub struct Partition<'a> {
    /// Name in the partition table.
    pub name: &'a str,
    /// Type as `sgdisk` knows it: `ef00`, `8304`, …
    pub kind: &'a str,
    /// Size in MiB.
    pub mib: u64,
    /// Content, at most as large as the partition; none leaves zeros.
    pub content: Option<&'a Path>,
}

/// Assembles a raw disk: GPT, the partitions one after another from 1 MiB on,
/// the first one started by BIOS firmware.
pub fn assemble(disk: &Path, partitions: &[Partition<'_>]) -> Result<()> {
    let total: u64 = partitions.iter().map(|partition| partition.mib).sum();
    File::create(disk)?.set_len((total + 2) * MIB)?;
    let mut table = Command::new("sgdisk");
    let mut start = 1;
    for (number, partition) in (1..).zip(partitions) {
        table.arg(format!("--new={number}:{}:+{}M", start * MIB / 512, partition.mib));
        table.arg(format!("--typecode={number}:{}", partition.kind));
        table.arg(format!("--change-name={number}:{}", partition.name));
        start += partition.mib;
    }
    command::output(table.arg("--attributes=1:set:2").arg(disk))?;
    let boot_code = fs::read(GPT_BOOT_CODE).with_context(|| format!("read {GPT_BOOT_CODE}"))?;
    let mut out = File::options().write(true).open(disk)?;
    out.write_all(&boot_code)?;
    let mut start = 1;
    for partition in partitions {
        if let Some(content) = partition.content {
            let fits = fs::metadata(content)?.len() <= partition.mib * MIB;
            ensure!(fits, "{} is larger than its partition", content.display());
            copy_data(content, &mut out, start * MIB)?;
        }
        start += partition.mib;
    }
    Ok(())
}

/// Copies what is not zero, so that the disk stays as sparse as its parts.
fn copy_data(content: &Path, out: &mut File, offset: u64) -> Result<()> {
    let mut from = File::open(content)?;
    let mut chunk = vec![0; 64 << 10];
    let mut at = offset;
    loop {
        let length = from.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        if chunk[..length].iter().any(|byte| *byte != 0) {
            out.seek(SeekFrom::Start(at))?;
            out.write_all(&chunk[..length])?;
        }
        at += length as u64;
    }
}

/// Turns the raw disk `<name>.raw` in `dir` into `<name>.qcow2` with its SHA-256
/// (hexadecimal digits only) in `<name>.qcow2.sha256`, and removes the raw one.
pub fn publish(dir: &Path, name: &str) -> Result<()> {
    let raw = dir.join(format!("{name}.raw"));
    let image = dir.join(format!("{name}.qcow2"));
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&raw).arg(&image);
    command::output(&mut convert)?;
    let mut digest = Sha256::new();
    std::io::copy(&mut File::open(&image)?, &mut digest)?;
    fs::write(dir.join(format!("{name}.qcow2.sha256")), hex::encode(digest.finalize()))?;
    fs::remove_file(&raw).context("remove the raw disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_larger_than_its_partition_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let content = dir.path().join("content");
        File::create(&content).unwrap().set_len(MIB + 1).unwrap();
        let part = Partition { name: "a", kind: "8300", mib: 1, content: Some(&content) };
        let error = assemble(&dir.path().join("disk"), &[part]).unwrap_err().to_string();
        assert!(error.ends_with("is larger than its partition"), "{error}");
    }

    #[test]
    fn copied_zeros_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let content = dir.path().join("content");
        fs::write(&content, [vec![0; 1 << 20], vec![7; 10]].concat()).unwrap();
        let disk = dir.path().join("disk");
        let mut out = File::create(&disk).unwrap();
        copy_data(&content, &mut out, 100).unwrap();
        let copied = fs::read(&disk).unwrap();
        assert_eq!(copied[100..], fs::read(&content).unwrap());
        use std::os::unix::fs::MetadataExt;
        assert!(out.metadata().unwrap().blocks() * 512 < 256 << 10);
    }
}
