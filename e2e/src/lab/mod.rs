//! A real Kubernetes cluster on this machine, all of it below one directory.
//!
//! The directory holds what the lab is (`lab.json`), its records of running
//! processes (`units/`), its logs and the disks of its nodes. Whatever the
//! host can see of a lab carries the lab's id, so that labs do not collide.

pub mod address;
pub mod audit;
pub mod cgroup;
pub mod control_plane;
pub mod down;
pub mod fault;
pub mod kubeconfig;
pub mod load;
pub mod logs;
pub mod network;
pub mod node;
pub mod node_config;
pub mod node_spec;
pub mod pki;
mod state;
pub mod status;
#[cfg(test)]
mod tests;
pub mod unit;
pub mod up;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use address::NodeIndex;
use cgroup::Cgroup;
use unit::{Record, Unit};

pub use state::{Lock, State};

/// The unit that holds the control plane's network.
pub const CONTROL_PLANE_NET: &str = "control-plane.net";

/// A lab that exists on disk; it may or may not run.
#[derive(Debug, Clone)]
pub struct Lab {
    dir: PathBuf,
    /// What was decided when it was made.
    pub state: State,
    cgroup: Cgroup,
}

impl Lab {
    /// Where the lab is: `$SUIGEN_LAB`, else `lab` in the cache.
    pub fn default_dir(cache_root: &Path) -> PathBuf {
        std::env::var_os("SUIGEN_LAB").map_or_else(|| cache_root.join("lab"), PathBuf::from)
    }

    /// Opens the lab in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        match Self::find(dir)? {
            Some(lab) => Ok(lab),
            None => bail!("there is no lab in {} (start one: e2e lab up)", dir.display()),
        }
    }

    /// Opens the lab in `dir`, if there is one.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let Some(state) = State::read(dir)? else { return Ok(None) };
        Self::with(dir, state).map(Some)
    }

    fn with(dir: &Path, state: State) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
        let cgroup = Cgroup::of_lab(&state.id)?;
        Ok(Self { dir, state, cgroup })
    }

    /// A path in the lab's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The kubeconfig for the host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The lab's nodes.
    pub fn nodes(&self) -> Result<Vec<NodeIndex>> {
        NodeIndex::first(self.state.nodes)
    }

    /// The node of that name; an error lists those there are.
    pub fn node(&self, name: &str) -> Result<NodeIndex> {
        let nodes = self.nodes()?;
        match NodeIndex::named(name).filter(|node| nodes.contains(node)) {
            Some(node) => Ok(node),
            None => {
                let names: Vec<String> = nodes.iter().map(|node| node.name()).collect();
                bail!("there is no node {name} in this lab, only: {}", names.join(", "))
            }
        }
    }

    /// The unit of that name.
    pub fn unit(&self, name: &str) -> Unit {
        Unit::new(name, &self.path("units"), &self.path("logs"), &self.cgroup)
    }

    /// The process that holds the control plane's network.
    pub fn control_plane_net(&self) -> Result<Record> {
        self.unit(CONTROL_PLANE_NET).expect_running()
    }
}
