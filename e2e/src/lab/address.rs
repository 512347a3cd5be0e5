//! Names and addresses in a lab. Each lab has network namespaces of its own,
//! so all labs use the same ones.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};

/// The bridge of the control plane; the API server, and what the lab serves.
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The API server's port.
pub const API_PORT: u16 = 6443;
/// The port of the lab's file server.
pub const FILES_PORT: u16 = 8080;
/// Cluster addresses of Services.
pub const SERVICES: &str = "10.96.0.0/16";
/// The Service `kubernetes`: the first of [`SERVICES`].
pub const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Nodes are named by a letter.
pub const MAX_NODES: usize = 26;

/// The API server as nodes and the control plane reach it.
pub fn api_url() -> String {
    format!("https://{CONTROL_PLANE}:{API_PORT}")
}

/// A node's place in the lab: 0 is `node-a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(u8);

impl NodeIndex {
    /// The first `count` nodes.
    pub fn first(count: usize) -> Result<Vec<Self>> {
        if count > MAX_NODES {
            bail!("at most {MAX_NODES} nodes, not {count}");
        }
        Ok((0..).take(count).map(Self).collect())
    }

    /// The node of that name, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        match name.strip_prefix("node-")?.as_bytes() {
            [letter @ b'a'..=b'z'] => Some(Self(letter - b'a')),
            _ => None,
        }
    }

    /// The position, from 0.
    pub fn position(self) -> usize {
        usize::from(self.0)
    }

    /// The node's name.
    pub fn name(self) -> String {
        format!("node-{}", char::from(b'a' + self.0))
    }

    /// The node's address on the lab's bridge.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 11 + self.0)
    }

    /// The addresses of the node's pods.
    pub fn pod_network(self) -> String {
        format!("10.78.{}.0/24", 11 + self.0)
    }

    /// The bridge port that leads to the node, in the control plane's namespace.
    pub fn bridge_port(self) -> String {
        format!("v-{}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_agree() {
        for node in NodeIndex::first(MAX_NODES).unwrap() {
            assert_eq!(NodeIndex::named(&node.name()), Some(node));
            assert!(node.bridge_port().len() < 16, "an interface name has at most 15 bytes");
        }
        assert!(NodeIndex::first(MAX_NODES + 1).is_err());
        for name in ["node-", "node-A", "node-aa", "etcd", ""] {
            assert_eq!(NodeIndex::named(name), None);
        }
        let second = NodeIndex::named("node-b").unwrap();
        assert_eq!(second.address().to_string(), "10.77.0.12");
        assert_eq!(second.pod_network(), "10.78.12.0/24");
    }
}
