//! What Suigen's own programs take of a machine.

use anyhow::{Context, Result};

use super::process::Process;
use super::{DAEMON, OPERATOR, smaps};
use crate::cluster::Cluster;
use crate::scenario;

/// The memory of Suigen's programs, each with a name for people, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemMemory(pub Vec<(String, u64)>);

/// Looks at every operator and node-daemon of the lab.
pub fn of_system(cluster: &Cluster) -> Result<SystemMemory> {
    let lease = ("suigen-system", "lease/suigen-operator");
    let leader = scenario::field(cluster, lease, "{.spec.holderIdentity}")?;
    let lab = cluster.lab()?;
    let mut found = Vec::new();
    for index in lab.nodes()? {
        let node = index.name();
        for process in Process::on_node(lab, &node, OPERATOR)? {
            let pod = process.variable("SUIGEN_IDENTITY").context("an operator knows its pod")?;
            let role = if pod == leader { "leads" } else { "waits" };
            found.push((format!("operator that {role}"), smaps::pss(process.pid)?));
        }
        for process in Process::on_node(lab, &node, DAEMON)? {
            found.push((format!("node-daemon on {node}"), smaps::pss(process.pid)?));
        }
    }
    found.sort();
    Ok(SystemMemory(found))
}

impl SystemMemory {
    /// The memory of one program.
    pub fn of(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, bytes)| *bytes)
    }

    /// The growth of one program since `before`, for each of `servers`, in KiB.
    pub fn growth(&self, before: &Self, name: &str, servers: usize) -> Option<f64> {
        let grown = kib(self.of(name)?) - kib(before.of(name)?);
        Some(grown / f64::from(u32::try_from(servers).ok()?))
    }
}

/// Bytes as KiB.
#[expect(clippy::cast_precision_loss, reason = "memory of a machine fits")]
pub fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> f64 {
    kib(bytes) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_a_server_s_share_and_may_be_negative() {
        let before = SystemMemory(vec![("a".into(), 10 * 1024), ("b".into(), 4 * 1024)]);
        let after = SystemMemory(vec![("a".into(), 50 * 1024), ("b".into(), 2 * 1024)]);
        assert_eq!(after.growth(&before, "a", 20), Some(2.0));
        assert_eq!(after.growth(&before, "b", 2), Some(-1.0));
        assert_eq!(after.growth(&before, "c", 2), None);
    }
}
