//! The guest `tiny`: Debian's cloud kernel and busybox, up within seconds even
//! where its processor is emulated, with BIOS and with UEFI.
//!
//! Its sources are in `e2e/guest/tiny`. The kernel follows from Debian's
//! packages at the time of building, the cache key only from the recipe and
//! the sources. Contract with whoever runs it:
//! - the console is `ttyS0`; it shows `tiny: up after S s, boot ID`, then a root
//!   shell with the prompt `tiny# `, and nothing unasked;
//! - a panic restarts at once (`panic=-1`), the power button powers off at once;
//! - `eth0`, where there is one, asks for an address by DHCP and takes its host name from it;
//! - `oracle` (see its source) writes to the partition of that name.

mod cpio;
mod modules;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};

use super::cache::{Cache, Key};
use super::debian;
use super::guest_boot::{self, Boot};
use super::guest_disk::{self, Partition};
use crate::{command, source_root};
use cpio::Archive;

/// What a Debian host needs to build the guest.
pub const HOST_PACKAGES: &[&str] = &[
    "debian-archive-keyring",
    "dosfstools",
    "gdisk",
    "kmod",
    "mmdebstrap",
    "mtools",
    "qemu-utils",
    "syslinux",
    "xz-utils",
];

const PACKAGES: &[&str] =
    &["busybox-static", "linux-image-cloud-amd64", "mksh", "systemd-boot-efi"];

/// Modules that are there to be loaded by hand, beyond those of `etc/modules`.
const MODULES_ON_DEMAND: &[&str] = &[
    "8021q",
    "ahci",
    "efivarfs",
    "isofs",
    "qemu_fw_cfg",
    "sd_mod",
    "sr_mod",
    "vfat",
    "virtio_mem",
    "virtio_scsi",
];

/// Only a dying kernel speaks on the console; processor flaws need no cure here.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 loglevel=1 panic=-1 mitigations=off";

/// Sizes in MiB: kernel and initramfs, and the ring of `oracle`.
const BOOT_MIB: u64 = 32;
const ORACLE_MIB: u64 = 12;

/// Builds the guest where it is missing: a directory with `tiny.qcow2` and its
/// SHA-256 in `tiny.qcow2.sha256`.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let mut key = Key::new("guest-tiny 3").text(debian::SUITE).text(KERNEL_ARGUMENTS);
    for part in [PACKAGES, MODULES_ON_DEMAND].concat() {
        key = key.text(part);
    }
    cache.ensure("guest-tiny", &key.tree(&sources())?, build)
}

fn sources() -> PathBuf {
    source_root().join("e2e/guest/tiny/root")
}

fn build(out: &Path) -> Result<()> {
    let scratch = out.join("scratch");
    fs::create_dir(&scratch)?;
    let packages = scratch.join("packages");
    debian::unpack(PACKAGES, &packages)?;
    initramfs(&packages, &scratch)?;
    let boot = Boot {
        kernel: &guest_boot::kernel(&packages)?,
        initramfs: &scratch.join("initramfs"),
        systemd_boot: &packages.join(guest_boot::SYSTEMD_BOOT),
        arguments: KERNEL_ARGUMENTS,
    };
    let boot = boot.partition(&scratch, BOOT_MIB)?;
    let partitions = [
        Partition { name: "boot", kind: "ef00", mib: BOOT_MIB, content: Some(&boot) },
        Partition { name: "oracle", kind: "8300", mib: ORACLE_MIB, content: None },
    ];
    guest_disk::assemble(&out.join("tiny.raw"), &partitions)?;
    guest_disk::publish(out, "tiny")?;
    fs::remove_dir_all(&scratch).context("remove the scratch directory")
}

/// Writes `initramfs` into the scratch directory: busybox, modules, our sources.
fn initramfs(packages: &Path, scratch: &Path) -> Result<()> {
    let root = scratch.join("root");
    for dir in ["bin", "dev", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin"] {
        fs::create_dir_all(root.join(dir))?;
    }
    command::output(Command::new("cp").arg("-r").arg(sources().join(".")).arg(&root))?;
    let busybox = root.join("bin/busybox");
    fs::copy(packages.join("usr/bin/busybox"), &busybox).context("copy busybox")?;
    // busybox's own shell asks the terminal where its cursor is, at every prompt.
    fs::copy(packages.join("usr/bin/mksh-static"), root.join("bin/mksh")).context("copy mksh")?;
    for applet in command::output(Command::new(&busybox).arg("--list-full"))?.lines() {
        let link = root.join(applet);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink("/bin/busybox", &link)?;
        }
    }
    std::os::unix::fs::symlink("bin/busybox", root.join("init"))?;
    let at_boot = fs::read_to_string(root.join("etc/modules"))?;
    let wanted: Vec<_> = at_boot.lines().chain(MODULES_ON_DEMAND.iter().copied()).collect();
    modules::copy(packages, &root, &wanted)?;
    let out = File::create(scratch.join("initramfs")).context("create the initramfs")?;
    let mut archive = Archive::new(GzEncoder::new(out, Compression::best()));
    archive.tree(&root, "")?;
    archive.char_device("dev/console", 5, 1)?;
    archive.finish()?.finish().context("finish the initramfs").map(drop)
}
