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

/// What no guest reads and only costs room.
const LEFT_OUT: &[&str] = &["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"];

/// Installs packages into a new root at `target`, with the files of `overlay`
/// in place before the first package configures itself.
pub fn install(packages: &[&str], overlay: &Path, target: &Path) -> Result<()> {
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(MMDEBSTRAP).arg("--variant=minbase");
    for path in LEFT_OUT {
        mmdebstrap.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    // A configuration file that is there already is the one to keep, unasked.
    mmdebstrap.arg("--dpkgopt=force-confold");
    mmdebstrap.arg(format!("--essential-hook=sync-in {} /", overlay.display()));
    mmdebstrap.arg(format!("--include={}", packages.join(","))).arg(SUITE).arg(target);
    command::output(&mut mmdebstrap).map(drop)
}
