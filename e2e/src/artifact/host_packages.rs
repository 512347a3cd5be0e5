//! Debian packages that building and running the lab needs on this machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{output, run_logged};
use crate::progress::step;

/// What the lab itself needs; guests and bundles name their own on top.
pub const LAB: &[&str] = &[
    "binutils",
    "ca-certificates",
    "gcc",
    "iproute2",
    "libc6-dev",
    "libseccomp-dev",
    "mmdebstrap",
    "nftables",
    "pkg-config",
    "util-linux",
];

/// Installs what is missing of `wanted`, saying so.
pub fn ensure(wanted: &[&str], log: &Path) -> Result<()> {
    let missing = missing(wanted)?;
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("packages are missing and only root can install them: {}", missing.join(" "));
    }
    step(&format!("install {} (Debian packages)", missing.join(" ")), || {
        run_logged(Command::new("apt-get").arg("update"), log)?;
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "--no-install-recommends"]).args(&missing);
        run_logged(install.env("DEBIAN_FRONTEND", "noninteractive"), log)
    })
}

fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let listing =
        output(Command::new("dpkg-query").args(["-W", "-f", "${Package} ${db:Status-Status}\n"]))
            .context("the lab needs a Debian machine: list its packages")?;
    Ok(not_installed(wanted, &listing))
}

fn not_installed<'a>(wanted: &[&'a str], listing: &str) -> Vec<&'a str> {
    let is_installed =
        |name: &str| listing.lines().any(|line| line.split_once(' ') == Some((name, "installed")));
    wanted.iter().copied().filter(|name| !is_installed(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_package_whose_configuration_stayed_counts_as_missing() {
        let listing = "gcc installed\nnftables config-files\n";
        assert_eq!(
            not_installed(&["gcc", "nftables", "mmdebstrap"], listing),
            ["nftables", "mmdebstrap"]
        );
    }
}
