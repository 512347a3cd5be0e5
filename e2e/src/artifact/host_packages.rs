//! Debian packages that building and running the lab needs on this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::{bundle, guest_debian, guest_tiny};
use crate::command::{output, run_logged};
use crate::progress::step;

/// What the lab itself needs; guests and the bundle name their own.
const LAB: &[&str] = &[
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

/// Two builds that install at once would meet apt's lock.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs what is missing of all that any artifact needs, saying so.
pub fn ensure(log: &Path) -> Result<()> {
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let lists =
        [LAB, bundle::HOST_PACKAGES, guest_tiny::HOST_PACKAGES, guest_debian::HOST_PACKAGES];
    let wanted: BTreeSet<&str> = lists.into_iter().flatten().copied().collect();
    let missing = missing(&wanted)?;
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

fn missing<'a>(wanted: &BTreeSet<&'a str>) -> Result<Vec<&'a str>> {
    let listing =
        output(Command::new("dpkg-query").args(["-W", "-f", "${Package} ${db:Status-Status}\n"]))
            .context("the lab needs a Debian machine: list its packages")?;
    Ok(not_installed(wanted, &listing))
}

fn not_installed<'a>(wanted: &BTreeSet<&'a str>, listing: &str) -> Vec<&'a str> {
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
        let wanted = BTreeSet::from(["gcc", "nftables", "mmdebstrap"]);
        assert_eq!(not_installed(&wanted, listing), ["mmdebstrap", "nftables"]);
    }
}
