//! The guest `debian`: systemd, cloud-init and sshd, as a user would bring it.
//!
//! Its sources are in `e2e/guest/debian`. The packages follow from Debian at
//! the time of building, the cache key only from the recipe and the sources.
//! Contract with whoever runs it:
//! - boots with BIOS and with UEFI; on the console, `ttyS0`, root logs in without
//!   a password, by ssh only with a key;
//! - cloud-init reads NoCloud (a disk labelled `cidata`) and nothing else; without
//!   one every network interface asks for an address by DHCP;
//! - the root file system is the last partition and grows with the disk;
//! - its kernel never changes: the boot partition is not updated from inside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::{Cache, Key};
use super::debian;
use super::guest_boot::{self, Boot};
use super::guest_disk::{self, MIB, Partition};
use crate::{command, source_root};

/// What a Debian host needs to build the guest.
pub const HOST_PACKAGES: &[&str] = &[
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "gdisk",
    "mmdebstrap",
    "mtools",
    "qemu-utils",
    "syslinux",
];

const PACKAGES: &[&str] = &[
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "fdisk",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "linux-image-cloud-amd64",
    "openssh-server",
    "qemu-guest-agent",
    "systemd-boot-efi",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
    "zstd",
];

const KERNEL_ARGUMENTS: &str = "root=LABEL=root ro console=ttyS0 quiet mitigations=off";

/// Sizes in MiB: kernel and initramfs, and the root file system before it grows.
const BOOT_MIB: u64 = 64;
const ROOT_MIB: u64 = 1024;

/// Builds the guest where it is missing: a directory with `debian.qcow2` and
/// its SHA-256 in `debian.qcow2.sha256`.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let mut key = Key::new("guest-debian 2").text(debian::SUITE).text(KERNEL_ARGUMENTS);
    for part in PACKAGES {
        key = key.text(part);
    }
    cache.ensure("guest-debian", &key.tree(&sources())?, build)
}

fn sources() -> PathBuf {
    source_root().join("e2e/guest/debian/root")
}

fn build(out: &Path) -> Result<()> {
    let scratch = out.join("scratch");
    let root = scratch.join("root");
    fs::create_dir(&scratch)?;
    debian::install(PACKAGES, &sources(), &root)?;
    let boot = boot_partition(&root, &scratch)?;
    open(&root)?;
    make_anonymous(&root)?;
    let root_image = root_partition(&root, &scratch)?;
    let partitions = [
        Partition { name: "boot", kind: "ef00", mib: BOOT_MIB, content: Some(&boot) },
        Partition { name: "root", kind: "8304", mib: ROOT_MIB, content: Some(&root_image) },
    ];
    guest_disk::assemble(&out.join("debian.raw"), &partitions)?;
    guest_disk::publish(out, "debian")?;
    fs::remove_dir_all(&scratch).context("remove the scratch directory")
}

fn boot_partition(root: &Path, scratch: &Path) -> Result<PathBuf> {
    let boot = Boot {
        kernel: &guest_boot::kernel(root)?,
        initramfs: &guest_boot::initramfs(root)?,
        systemd_boot: &root.join(guest_boot::SYSTEMD_BOOT),
        arguments: KERNEL_ARGUMENTS,
    };
    boot.partition(scratch, BOOT_MIB)
}

/// Removes what two servers made from one image must not share.
///
/// An empty machine id is filled at the first boot; `uninitialized` would
/// besides reset which services are enabled.
fn make_anonymous(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root.join("etc/ssh"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(entry.path())?;
        }
    }
    fs::write(root.join("etc/machine-id"), "").context("empty the machine id")
}

/// What packages leave to an administrator: a network that comes up, and a way in at the console.
fn open(root: &Path) -> Result<()> {
    for change in [&["systemctl", "enable", "systemd-networkd"], &["passwd", "--delete", "root"]] {
        command::output(Command::new("chroot").arg(root).args(change))?;
    }
    Ok(())
}

/// Makes the root file system from the tree, owners and modes included.
fn root_partition(root: &Path, scratch: &Path) -> Result<PathBuf> {
    let image = scratch.join("root.ext4");
    File::create(&image)?.set_len(ROOT_MIB * MIB)?;
    let mut format = Command::new("mke2fs");
    format.args(["-q", "-t", "ext4", "-L", "root", "-m", "0", "-d"]).arg(root).arg(&image);
    command::output(&mut format).context("make the root file system")?;
    Ok(image)
}
