//! Debian root file systems: what a node is, and what images are based on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::cache::{Cache, Key};
use crate::build_log;
use crate::command::run_logged;
use crate::progress::step;

const SUITE: &str = "trixie";

/// What a node has beyond a minimal Debian. Nothing of Suigen's: no QEMU, no
/// firmware, so that whatever a hypervisor needs must come with its image.
const NODE_PACKAGES: &[&str] = &[
    "ca-certificates",
    "conntrack",
    "iproute2",
    "iputils-ping",
    "kmod",
    "mount",
    "nftables",
    "procps",
    "util-linux",
];

/// The directory with a node's root file system.
pub fn node(cache: &Cache) -> Result<PathBuf> {
    let built = build(cache, "node-rootfs", NODE_PACKAGES)?;
    Ok(built.join("root"))
}

/// The directory with the root file system that stands for the base image
/// `debian:trixie-slim`.
pub fn image_base(cache: &Cache) -> Result<PathBuf> {
    let built = build(cache, "image-base", &["ca-certificates"])?;
    Ok(built.join("root"))
}

fn build(cache: &Cache, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let key = Key::new("rootfs 1").text(SUITE).text(&packages.join(","));
    cache.ensure(name, &key, |out| {
        step(&format!("install a Debian {SUITE} root file system ({name})"), || {
            mmdebstrap(&out.join("root"), packages, &build_log(cache, name))
        })
    })
}

fn mmdebstrap(target: &Path, packages: &[&str], log: &Path) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command
        .env("SOURCE_DATE_EPOCH", "0")
        .args(["--mode=root", "--variant=minbase", "--format=directory"])
        // A suite's Release file may have expired on a mirror that stands still.
        .arg(r#"--aptopt=Acquire::Check-Valid-Until "false""#)
        .arg(r#"--dpkgopt=path-exclude=/usr/share/man/*"#)
        .arg(r#"--dpkgopt=path-exclude=/usr/share/locale/*"#)
        .arg(r#"--dpkgopt=path-exclude=/usr/share/doc/*"#)
        .arg(format!("--include={}", packages.join(",")))
        .arg(SUITE)
        .arg(target);
    run_logged(&mut command, log)
}
