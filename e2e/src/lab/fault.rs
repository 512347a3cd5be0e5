//! The vocabulary of faults: off, frozen, cut.

use anyhow::{Result, bail};

use super::Lab;
use super::address::{CONTROL_PLANE, FILES_PORT, NodeIndex};
use super::cgroup::Cgroup;
use super::control_plane::{self, UNITS};
use super::network::in_network;
use super::node::Node;
use crate::artifact::tools::Tools;
use crate::command::output;

/// Services of a node, as its process 1 runs them.
pub const NODE_SERVICES: &[&str] = &["containerd", "kubelet", "kube-proxy"];

/// What a fault befalls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A whole node.
    Node(NodeIndex),
    /// One service of a node: `node-a/kubelet`.
    NodeService(NodeIndex, &'static str),
    /// One process of the control plane.
    ControlPlane(&'static str),
}

impl Target {
    /// Finds what `name` means in the lab; an error lists what there is.
    pub fn parse(lab: &Lab, name: &str) -> Result<Self> {
        if let Some((node, service)) = name.split_once('/') {
            let node = lab.node(node)?;
            return match NODE_SERVICES.iter().find(|one| **one == service) {
                Some(service) => Ok(Self::NodeService(node, service)),
                None => bail!("a node has no {service}, only: {}", NODE_SERVICES.join(", ")),
            };
        }
        if let Some(unit) = UNITS.iter().find(|unit| **unit == name) {
            return Ok(Self::ControlPlane(unit));
        }
        if NodeIndex::named(name).is_some() {
            return lab.node(name).map(Self::Node);
        }
        bail!("{name} is neither a node nor one of: {}", UNITS.join(", "))
    }

    fn cgroup(&self, lab: &Lab) -> Cgroup {
        match self {
            Self::Node(node) => lab.unit(&node.name()).cgroup().clone(),
            Self::NodeService(node, service) => {
                lab.unit(&node.name()).cgroup().child("services").child(service)
            }
            Self::ControlPlane(unit) => lab.unit(unit).cgroup().clone(),
        }
    }

    /// Stops every process of it where it stands; [`Self::thaw`] lets them go on.
    pub fn freeze(&self, lab: &Lab) -> Result<()> {
        self.cgroup(lab).freeze(true)
    }

    /// Undoes [`Self::freeze`].
    pub fn thaw(&self, lab: &Lab) -> Result<()> {
        self.cgroup(lab).freeze(false)
    }

    /// Takes it away at once, without a word.
    pub fn off(&self, lab: &Lab) -> Result<()> {
        match self {
            Self::Node(node) => Node::new(lab, *node).power_off(),
            Self::ControlPlane(unit) => lab.unit(unit).stop(),
            Self::NodeService(..) => bail!("a node restarts its services; freeze this one instead"),
        }
    }

    /// Undoes [`Self::off`].
    pub fn on(&self, lab: &Lab, tools: &Tools) -> Result<()> {
        match self {
            Self::Node(node) => Node::new(lab, *node).power_on(),
            Self::ControlPlane(unit) => {
                control_plane::start_unit(lab, unit, tools, &lab.control_plane_net()?)?;
                control_plane::wait_until_ready(lab, tools)
            }
            Self::NodeService(..) => bail!("a node starts its services by itself"),
        }
    }
}

/// Whom a node can be cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The API server, in both directions.
    Api,
    /// The lab's file server.
    Files,
    /// Another node, in both directions.
    Node(NodeIndex),
}

impl Peer {
    /// Reads `api`, `files` or `peer:NODE`.
    pub fn parse(lab: &Lab, text: &str) -> Result<Self> {
        match text {
            "api" => Ok(Self::Api),
            "files" => Ok(Self::Files),
            _ => match text.strip_prefix("peer:") {
                Some(node) => lab.node(node).map(Self::Node),
                None => bail!("a node is cut from: api, files, peer:NODE; not from {text}"),
            },
        }
    }
}

/// Drops everything between the node and its peer, connections that exist too.
pub fn cut(lab: &Lab, node: NodeIndex, from: Peer) -> Result<()> {
    nft(lab, &rules())?;
    nft(lab, &elements("add", node, from))
}

/// Undoes every [`cut`] of the node.
pub fn heal(lab: &Lab, node: NodeIndex) -> Result<()> {
    nft(lab, &rules())?;
    let others = lab.nodes()?.into_iter().filter(|other| *other != node).map(Peer::Node);
    for peer in [Peer::Api, Peer::Files].into_iter().chain(others) {
        // Deleting needs the element to be there.
        nft(lab, &elements("add", node, peer))?;
        nft(lab, &elements("delete", node, peer))?;
    }
    Ok(())
}

/// What is cut at the moment: a line for each kind of peer.
pub fn cuts(lab: &Lab) -> Result<Vec<String>> {
    let holder = lab.control_plane_net()?;
    let mut found = Vec::new();
    for set in ["api", "files", "peers"] {
        // No table, no cut.
        let listing =
            in_network(&holder, "nft").args(["list", "set", "bridge", "lab", set]).output()?;
        if let Some(ports) = elements_of(&String::from_utf8_lossy(&listing.stdout)) {
            found.push(format!("{set}: {ports}"));
        }
    }
    Ok(found)
}

fn elements_of(listing: &str) -> Option<String> {
    let (_, after) = listing.split_once("elements = {")?;
    let (elements, _) = after.split_once('}')?;
    let words: Vec<&str> = elements.split_whitespace().collect();
    Some(words.join(" ").replace("\"v-", "").replace('"', ""))
}

/// The bridge is where a node's traffic is cut: inside, its own rules stay its own.
fn rules() -> String {
    format!(
        "add table bridge lab
         add set bridge lab api {{ type ifname; }}
         add set bridge lab files {{ type ifname; }}
         add set bridge lab peers {{ type ifname . ifname; }}
         add chain bridge lab input {{ type filter hook input priority 0; }}
         add chain bridge lab output {{ type filter hook output priority 0; }}
         add chain bridge lab forward {{ type filter hook forward priority 0; }}
         flush chain bridge lab input
         flush chain bridge lab output
         flush chain bridge lab forward
         add rule bridge lab input iifname @api ip daddr {CONTROL_PLANE} tcp dport != {FILES_PORT} drop
         add rule bridge lab output oifname @api ip saddr {CONTROL_PLANE} tcp sport != {FILES_PORT} drop
         add rule bridge lab input iifname @files tcp dport {FILES_PORT} drop
         add rule bridge lab output oifname @files tcp sport {FILES_PORT} drop
         add rule bridge lab forward iifname . oifname @peers drop\n"
    )
}

fn elements(verb: &str, node: NodeIndex, from: Peer) -> String {
    let port = node.bridge_port();
    match from {
        Peer::Api => format!("{verb} element bridge lab api {{ \"{port}\" }}\n"),
        Peer::Files => format!("{verb} element bridge lab files {{ \"{port}\" }}\n"),
        Peer::Node(other) => {
            let other = other.bridge_port();
            format!(
                "{verb} element bridge lab peers {{ \"{port}\" . \"{other}\", \"{other}\" . \"{port}\" }}\n"
            )
        }
    }
}

fn nft(lab: &Lab, script: &str) -> Result<()> {
    output(in_network(&lab.control_plane_net()?, "nft").arg(script)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_listed_by_node() {
        let listing = "table bridge lab {\n set peers {\n type ifname . ifname\n\
                       elements = { \"v-node-c\" . \"v-node-b\",\n \"v-node-b\" . \"v-node-c\" }\n}\n}";
        assert_eq!(elements_of(listing).unwrap(), "node-c . node-b, node-b . node-c");
        assert_eq!(elements_of("table bridge lab { set api { type ifname } }"), None);
    }

    #[test]
    fn healing_names_the_very_elements_that_cutting_adds() {
        let (a, b) = (NodeIndex::named("node-a").unwrap(), NodeIndex::named("node-b").unwrap());
        for peer in [Peer::Api, Peer::Files, Peer::Node(b)] {
            let add = elements("add", a, peer);
            assert_eq!(add.replacen("add", "delete", 1), elements("delete", a, peer));
        }
    }
}
