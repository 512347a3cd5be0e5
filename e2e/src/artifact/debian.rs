//! Debian packages as raw material: what every recipe that starts from Debian shares.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// The release that the bundle, the nodes and the guests are made of.
pub const SUITE: &str = "trixie";

/// What a Debian host needs for the functions of this module.
pub const HOST_PACKAGES: &[&str] = &["mmdebstrap", "debian-archive-keyring"];

/// Arguments of every `mmdebstrap` call: a mirror that lags has an expired
/// Release file, and recommended packages triple the size of a tree.
const MMDEBSTRAP: &[&str] = &[
    "--quiet",
    "--mode=root",
    "--format=directory",
    "--aptopt=Acquire::Check-Valid-Until \"false\"",
    "--aptopt=APT::Install-Recommends \"false\"",
];

/// Unpacks packages and what they depend on into `target`, which must not exist yet.
///
/// No maintainer script runs and no package counts as installed: the result is
/// a heap of files to choose from, in seconds.
pub fn unpack(packages: &[&str], target: &Path) -> Result<()> {
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(MMDEBSTRAP).arg("--variant=extract");
    mmdebstrap.arg(format!("--include={}", packages.join(","))).arg(SUITE).arg(target);
    command::output(&mut mmdebstrap).map(drop)
}
