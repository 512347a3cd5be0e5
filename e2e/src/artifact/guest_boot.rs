//! The partition that a guest starts from: one kernel and one initramfs for
//! both firmwares. BIOS comes through syslinux, UEFI through systemd-boot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::guest_disk::MIB;
use crate::command;

/// Where the package `systemd-boot-efi` has its loader, from the root of a tree.
pub const SYSTEMD_BOOT: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// What to start, as files of the host.
#[derive(Debug, Clone, Copy)]
pub struct Boot<'a> {
    /// A kernel with an EFI stub.
    pub kernel: &'a Path,
    /// The initramfs, compressed as the kernel can read it.
    pub initramfs: &'a Path,
    /// The UEFI boot loader; see [`SYSTEMD_BOOT`].
    pub systemd_boot: &'a Path,
    /// The kernel's command line.
    pub arguments: &'a str,
}

impl Boot<'_> {
    /// Makes a FAT file system of `mib` MiB in the scratch directory and returns its path.
    pub fn partition(&self, scratch: &Path, mib: u64) -> Result<PathBuf> {
        let (syslinux, entry, loader) =
            (scratch.join("syslinux.cfg"), scratch.join("linux.conf"), scratch.join("loader.conf"));
        fs::write(&syslinux, self.syslinux_configuration())?;
        fs::write(&entry, self.loader_entry())?;
        fs::write(&loader, "timeout 0\nauto-entries no\nauto-firmware no\n")?;
        let image = scratch.join("boot.fat");
        File::create(&image)?.set_len(mib * MIB)?;
        let mut format = Command::new("mkfs.vfat");
        command::output(format.args(["--invariant", "-F", "16", "-n", "BOOT"]).arg(&image))?;
        let dirs = ["::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries"];
        command::output(Command::new("mmd").arg("-i").arg(&image).args(dirs))?;
        for (from, to) in [
            (self.kernel, "::/vmlinuz"),
            (self.initramfs, "::/initrd"),
            (self.systemd_boot, "::/EFI/BOOT/BOOTX64.EFI"),
            (&syslinux, "::/syslinux.cfg"),
            (&entry, "::/loader/entries/linux.conf"),
            (&loader, "::/loader/loader.conf"),
        ] {
            command::output(Command::new("mcopy").arg("-i").arg(&image).arg(from).arg(to))?;
        }
        command::output(Command::new("syslinux").arg("--install").arg(&image))?;
        Ok(image)
    }

    fn syslinux_configuration(&self) -> String {
        format!(
            "DEFAULT linux\nPROMPT 0\nLABEL linux\n LINUX /vmlinuz\n INITRD /initrd\n APPEND {}\n",
            self.arguments
        )
    }

    fn loader_entry(&self) -> String {
        format!("title linux\nlinux /vmlinuz\ninitrd /initrd\noptions {}\n", self.arguments)
    }
}

/// The kernel image in a tree of packages.
pub fn kernel(tree: &Path) -> Result<PathBuf> {
    in_boot(tree, "vmlinuz-")
}

/// The initramfs that Debian's tools made in a tree.
pub fn initramfs(tree: &Path) -> Result<PathBuf> {
    in_boot(tree, "initrd.img-")
}

fn in_boot(tree: &Path, prefix: &str) -> Result<PathBuf> {
    let boot = tree.join("boot");
    for entry in fs::read_dir(&boot).with_context(|| format!("list {}", boot.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("{} holds no {prefix}*", boot.display())
}
