//! The hypervisor bundle: QEMU with its firmware and libraries as a directory
//! that a process can take as its root, named by the digest of its content.
//!
//! The digest follows from Debian's packages at the time of building; the
//! cache key only from the recipe. A newer QEMU therefore comes with a new
//! recipe number or an emptied cache, never by surprise.

mod manifest;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::{Cache, Key};
use super::debian;
use super::select::{self, Selection};
use crate::command;

/// What a Debian host needs to build a bundle.
pub const HOST_PACKAGES: &[&str] = debian::HOST_PACKAGES;

const PACKAGES: &[&str] =
    &["qemu-system-x86", "qemu-block-extra", "qemu-utils", "ovmf", "seabios", "libc-bin"];

/// Programs and loadable modules; the libraries they need follow by themselves.
const EXECUTABLES: &[&str] = &[
    "usr/bin/qemu-system-x86_64",
    "usr/bin/qemu-img",
    "usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so",
    "usr/lib/x86_64-linux-gnu/qemu/block-nfs.so",
    "usr/lib/x86_64-linux-gnu/qemu/hw-display-virtio-gpu.so",
    "usr/lib/x86_64-linux-gnu/qemu/hw-display-virtio-gpu-pci.so",
    "usr/lib/x86_64-linux-gnu/qemu/hw-display-virtio-vga.so",
];

/// Firmware: BIOS and video BIOS, option ROMs that QEMU loads unasked, UEFI
/// without Secure Boot, and keyboard maps for VNC.
const DATA: &[&str] = &[
    "usr/share/OVMF/OVMF_CODE_4M.fd",
    "usr/share/OVMF/OVMF_VARS_4M.fd",
    "usr/share/qemu/keymaps",
    "usr/share/qemu/kvmvapic.bin",
    "usr/share/qemu/linuxboot_dma.bin",
    "usr/share/qemu/multiboot_dma.bin",
    "usr/share/qemu/pvh.bin",
    "usr/share/qemu/efi-virtio.rom",
    "usr/share/seabios/bios-256k.bin",
    "usr/share/seabios/vgabios-stdvga.bin",
    "usr/share/seabios/vgabios-virtio.bin",
];

/// Places that whoever starts a process in the bundle mounts or creates things at.
const MOUNT_POINTS: &[&str] =
    &["dev", "proc", "run/suigen", "sys", "tmp", "var/lib/suigen", "var/tmp"];

/// Builds the bundle where it is missing.
///
/// The returned directory has a single child: the bundle itself, named by its digest.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let mut key = Key::new("qemu-bundle 1").text(debian::SUITE);
    for part in [PACKAGES, EXECUTABLES, DATA, MOUNT_POINTS].concat() {
        key = key.text(part);
    }
    cache.ensure("bundle", &key, build)
}

fn build(out: &Path) -> Result<()> {
    let (source, tree) = (out.join("source"), out.join("tree"));
    debian::unpack(PACKAGES, &source)?;
    fs::create_dir(&tree)?;
    let mut selection = Selection::new(&source, &tree);
    for path in EXECUTABLES {
        selection.executable(path)?;
    }
    for path in DATA {
        selection.data(path)?;
    }
    for path in MOUNT_POINTS {
        fs::create_dir_all(tree.join(path))?;
    }
    link_loader_paths(&source, &tree)?;
    describe(&tree)?;
    select::normalise(&tree)?;
    let digest = manifest::write(&tree)?;
    fs::rename(&tree, out.join(&digest)).context("name the bundle by its digest")?;
    fs::remove_dir_all(&source).context("remove the unpacked packages")
}

/// Programs name their interpreter as `/lib64/…`; the packages put it below `/usr`.
fn link_loader_paths(source: &Path, tree: &Path) -> Result<()> {
    for dir in ["lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{dir}"), tree.join(dir))?;
    }
    fs::create_dir(tree.join("etc"))?;
    fs::write(tree.join("etc/ld.so.conf"), "/usr/lib/x86_64-linux-gnu\n")?;
    let mut ldconfig = Command::new(source.join("usr/sbin/ldconfig"));
    command::output(ldconfig.arg("-X").arg("-r").arg(tree)).map(drop)
}

/// Writes `BUNDLE.json`; running QEMU inside the new root is the first proof that it is whole.
fn describe(tree: &Path) -> Result<()> {
    let mut qemu = Command::new("chroot");
    qemu.arg(tree).args(["/usr/bin/qemu-system-x86_64", "-version"]);
    let said = command::output(&mut qemu)?;
    let version = said
        .split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1)
        .with_context(|| format!("find the version in what QEMU said: {said}"))?;
    let description = serde_json::json!({ "qemuVersion": version });
    Ok(fs::write(tree.join("BUNDLE.json"), format!("{description}\n"))?)
}
