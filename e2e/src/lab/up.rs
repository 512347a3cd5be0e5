//! Brings a lab up; what is up already stays as it is.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::node::Node;
use super::pki::Pki;
use super::{CONTROL_PLANE_NET, Lab, Lock, State, control_plane, network};
use crate::artifact::set::Platform;
use crate::artifact::tools::Tools;
use crate::cluster::Cluster;
use crate::command::tail;
use crate::progress::{step, wait_for};

/// How many nodes a lab has when nobody says.
const DEFAULT_NODES: usize = 3;
/// On a node that is a hypervisor, set by the provider.
const HYPERVISOR_LABEL: &str = "suigen.dev/role-hypervisor=";

/// Starts all of the lab in `dir` that does not run, and waits until its nodes are ready.
///
/// `nodes` may add nodes to a lab that exists, not take any away.
pub fn up(dir: &Path, nodes: Option<usize>, platform: &Platform) -> Result<Lab> {
    if !rustix::process::geteuid().is_root() {
        bail!("the lab needs root: it makes namespaces and mounts (of its own)");
    }
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let _lock = Lock::take(dir)?;
    let lab = ensure_state(dir, nodes)?;
    for name in ["units", "logs", "etcd", "nodes", "www"] {
        fs::create_dir_all(lab.path(name))?;
    }
    let pki = Pki::ensure(&lab.path("pki"))?;
    let netns = network::hold(&lab.unit(CONTROL_PLANE_NET))?;
    network::bridge(&netns)?;
    control_plane::start(&lab, &platform.tools, &pki, &netns)?;
    if lab.state.nodes > 0 {
        step(&format!("power on {} node(s)", lab.state.nodes), || nodes_on(&lab, platform, &pki))?;
        let cluster = Cluster::of_lab(&lab, &platform.tools);
        step("wait until every node is ready", || nodes_ready(&lab, &cluster))?;
    }
    Ok(lab)
}

fn ensure_state(dir: &Path, nodes: Option<usize>) -> Result<Lab> {
    let mut state = match State::read(dir)? {
        Some(state) => state,
        None => State::new(dir, nodes.unwrap_or(DEFAULT_NODES))?,
    };
    if let Some(wanted) = nodes {
        if wanted < state.nodes {
            bail!("this lab has {} nodes: fewer need a new lab (e2e lab down)", state.nodes);
        }
        state.nodes = wanted;
    }
    super::NodeIndex::first(state.nodes)?;
    state.write(dir)?;
    Lab::with(dir, state)
}

fn nodes_on(lab: &Lab, platform: &Platform, pki: &Pki) -> Result<()> {
    let nodes: Vec<Node<'_>> =
        lab.nodes()?.into_iter().map(|index| Node::new(lab, index)).collect();
    thread::scope(|scope| {
        let starts: Vec<_> = nodes
            .iter()
            .map(|node| {
                scope.spawn(move || -> Result<()> {
                    if !node.is_on()? {
                        node.prepare(platform, pki)?;
                    }
                    node.power_on()
                })
            })
            .collect();
        for (node, start) in nodes.iter().zip(starts) {
            start
                .join()
                .map_err(|_| anyhow!("panicked"))?
                .with_context(|| format!("power on {}", node.name()))?;
        }
        Ok(())
    })
}

fn nodes_ready(lab: &Lab, cluster: &Cluster) -> Result<()> {
    let wanted: Vec<String> = lab.nodes()?.iter().map(|node| node.name()).collect();
    let ready = wait_for("ready nodes", Duration::from_secs(90), || {
        let listing: Value =
            serde_json::from_str(&cluster.kubectl(&["get", "nodes", "-o", "json"])?)?;
        let ready = ready_nodes(&listing);
        Ok(wanted.iter().all(|name| ready.contains(name)).then_some(()))
    });
    if let Err(error) = ready {
        let logs: Vec<String> = wanted
            .iter()
            .map(|name| tail(&lab.path("nodes").join(name).join("log/kubelet.log")))
            .collect();
        return Err(error.context(format!("{}\nlook further: e2e lab logs", logs.join("\n"))));
    }
    for name in &wanted {
        cluster.kubectl(&["label", "--overwrite", "node", name, HYPERVISOR_LABEL])?;
    }
    Ok(())
}

/// Waits until the nodes of a lab are ready again.
pub fn wait_for_nodes(lab: &Lab, tools: &Tools) -> Result<()> {
    nodes_ready(lab, &Cluster::of_lab(lab, tools))
}

fn ready_nodes(listing: &Value) -> Vec<String> {
    let items = listing["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_ready = |node: &&Value| {
        let conditions = node["status"]["conditions"].as_array();
        conditions.is_some_and(|conditions| {
            conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        })
    };
    let name = |node: &Value| node["metadata"]["name"].as_str().map(str::to_owned);
    items.iter().filter(is_ready).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_nodes_that_say_ready_count() {
        let node = |name: &str, status: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status}]}});
        let listing = json!({"items": [node("a", "True"), node("b", "Unknown"), {"metadata": {"name": "c"}}]});
        assert_eq!(ready_nodes(&listing), ["a"]);
        assert!(ready_nodes(&json!({})).is_empty());
    }
}
