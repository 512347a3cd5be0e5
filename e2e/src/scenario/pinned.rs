//! Closes hypervisors, so that servers go where a scenario wants them.

use anyhow::{Result, bail};

use crate::cluster::Cluster;

/// While it lives, one hypervisor gets every new server.
#[derive(Debug)]
pub struct Pinned<'a> {
    cluster: &'a Cluster,
    closed: Vec<String>,
}

impl<'a> Pinned<'a> {
    /// Closes every other hypervisor to new servers.
    pub fn to(cluster: &'a Cluster, node: &str) -> Result<Self> {
        let mut pinned = Self { cluster, closed: Vec::new() };
        for other in cluster.lab()?.nodes()?.into_iter().map(|index| index.name()) {
            if other != node {
                schedule(cluster, &other, "Disabled")?;
                pinned.closed.push(other);
            }
        }
        if pinned.closed.len() + 1 != cluster.lab()?.nodes()?.len() {
            bail!("{node} is no node of this lab");
        }
        Ok(pinned)
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        for node in &self.closed {
            if let Err(error) = schedule(self.cluster, node, "Enabled") {
                eprintln!("hypervisor {node} is still closed to new servers: {error:#}");
            }
        }
    }
}

fn schedule(cluster: &Cluster, node: &str, scheduling: &str) -> Result<()> {
    let patch = format!(r#"{{"spec":{{"scheduling":"{scheduling}"}}}}"#);
    let args = ["patch", "hypervisor", node, "--type=merge", "--patch", &patch];
    cluster.kubectl(&args).map(|_| ())
}
