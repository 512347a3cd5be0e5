//! From what a node should host to what its kernel should hold. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use suigen_crds::ident::Uid;

use super::desired::{Desired, Network, Port};
use super::ident::{LinkName, MacAddress, Vni};
use super::rules::Elements;

/// Everything that the kernel should hold, or holds, in the namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Bridges, VXLAN devices and taps.
    pub links: BTreeMap<LinkName, Link>,
    /// The forwarding tables.
    pub fdb: Fdb,
    /// The variable part of the rules.
    pub elements: Elements,
}

/// A link and all of its properties that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is; a change of this needs a new link.
    pub kind: LinkKind,
    /// In bytes.
    pub mtu: u32,
    /// Says to whom the link belongs, for people and for the next start.
    pub alias: String,
    /// Its own address.
    pub address: MacAddress,
    /// Whether it is switched on.
    pub up: bool,
    /// The bridge that it is a port of, and how.
    pub port: Option<BridgePort>,
}

/// The kinds of link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A network's switch on this node.
    Bridge(Vni),
    /// A network's tunnels to other nodes.
    Vxlan { vni: Vni, local: Ipv4Addr, port: u16, learning: bool },
    /// A port's end on the node.
    Tap { owner: Option<u32> },
}

/// A link's place in a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgePort {
    /// The bridge.
    pub bridge: LinkName,
    /// Its flags.
    pub flags: PortFlags,
}

/// The flags of a bridge port (ip-link(8), `bridge_slave`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFlags {
    /// Source addresses are learned from frames.
    pub learning: bool,
    /// Frames to unknown addresses leave here.
    pub flood: bool,
    /// Frames from addresses that no entry binds to this port are dropped.
    pub locked: bool,
    /// Frames may leave through the port that they came from.
    pub hairpin: bool,
}

impl PortFlags {
    /// Of a VXLAN device: all that is behind it is known from the API.
    pub const TUNNEL: Self = Self { learning: false, flood: false, locked: false, hairpin: false };
    /// Of a tap: its one address is bound to it.
    pub const TAP: Self = Self { learning: false, flood: false, locked: true, hairpin: false };
}

/// The forwarding tables of all networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fdb {
    /// The bridges': through which port is an address.
    pub bridge: BTreeMap<(Vni, MacAddress), BridgeEntry>,
    /// The VXLAN devices': at which end points is an address. More than one is
    /// never wanted, but may be found.
    pub tunnel: BTreeMap<(Vni, MacAddress), BTreeSet<Ipv4Addr>>,
    /// The end points that broadcast goes to.
    pub flood: BTreeSet<(Vni, Ipv4Addr)>,
}

/// An entry of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeEntry {
    /// The port.
    pub link: LinkName,
    /// How it came about.
    pub origin: Origin,
}

/// One entry of a forwarding table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Of a bridge.
    Bridge { vni: Vni, mac: MacAddress, entry: BridgeEntry },
    /// Of a VXLAN device, for one address.
    Tunnel { vni: Vni, mac: MacAddress, vtep: Ipv4Addr },
    /// Of a VXLAN device, for broadcast.
    Flood { vni: Vni, vtep: Ipv4Addr },
}

impl Entry {
    /// The network that it belongs to.
    #[must_use]
    pub const fn vni(&self) -> Vni {
        match self {
            Self::Bridge { vni, .. } | Self::Tunnel { vni, .. } | Self::Flood { vni, .. } => *vni,
        }
    }
}

impl Fdb {
    /// Takes an entry in, as the kernel does: an address has one place, a
    /// group may have several end points.
    pub fn set(&mut self, entry: Entry) {
        match entry {
            Entry::Bridge { vni, mac, entry } => {
                self.bridge.insert((vni, mac), entry);
            }
            Entry::Tunnel { vni, mac, vtep } => {
                let vteps = self.tunnel.entry((vni, mac)).or_default();
                if !mac.is_group() {
                    vteps.clear();
                }
                vteps.insert(vtep);
            }
            Entry::Flood { vni, vtep } => {
                self.flood.insert((vni, vtep));
            }
        }
    }

    /// Gives an entry up, unless another is in its place by now.
    pub fn remove(&mut self, entry: &Entry) {
        match entry {
            Entry::Bridge { vni, mac, entry } => {
                if self.bridge.get(&(*vni, *mac)).is_some_and(|is| is.link == entry.link) {
                    self.bridge.remove(&(*vni, *mac));
                }
            }
            Entry::Tunnel { vni, mac, vtep } => {
                if let Some(vteps) = self.tunnel.get_mut(&(*vni, *mac)) {
                    vteps.remove(vtep);
                    if vteps.is_empty() {
                        self.tunnel.remove(&(*vni, *mac));
                    }
                }
            }
            Entry::Flood { vni, vtep } => {
                self.flood.remove(&(*vni, *vtep));
            }
        }
    }

    /// All entries of one network.
    #[must_use]
    pub fn of_network(&self, vni: Vni) -> Self {
        let addresses = (vni, MacAddress::ZERO)..=(vni, MacAddress::BROADCAST);
        let end_points = (vni, Ipv4Addr::UNSPECIFIED)..=(vni, Ipv4Addr::BROADCAST);
        let bridge = self.bridge.range(addresses.clone());
        let tunnel = self.tunnel.range(addresses);
        Self {
            bridge: bridge.map(|(key, entry)| (*key, entry.clone())).collect(),
            tunnel: tunnel.map(|(key, vteps)| (*key, vteps.clone())).collect(),
            flood: self.flood.range(end_points).copied().collect(),
        }
    }

    /// Takes the entries of another network in.
    pub fn extend(&mut self, other: Self) {
        let Self { bridge, tunnel, flood } = other;
        self.bridge.extend(bridge);
        self.tunnel.extend(tunnel);
        self.flood.extend(flood);
    }
}

/// How an entry of a bridge came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Bound to a tap by us: `static`.
    Bound,
    /// Told by us from the API: `extern_learn`.
    Told,
    /// Learned, or made by someone else; never wanted.
    Foreign,
}

/// The alias of the bridge and the VXLAN device of a network.
#[must_use]
pub fn network_alias(network: &Uid) -> String {
    format!("suigen.dev network {network}")
}

/// The alias of a tap.
#[must_use]
pub fn port_alias(port: &Uid, server: &Uid) -> String {
    format!("suigen.dev port {port} server {server}")
}

impl Topology {
    /// What the kernel should hold.
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        Self::of_networks(desired, desired.networks())
    }

    /// What the kernel should hold of some of the networks.
    pub fn of_networks<'a>(desired: &Desired, networks: impl Iterator<Item = &'a Network>) -> Self {
        let mut topology = Self::default();
        for network in networks {
            topology.add_network(network, desired);
            for port in &network.ports {
                topology.add_port(network, port);
            }
        }
        topology
    }

    fn add_network(&mut self, network: &Network, desired: &Desired) {
        let vni = network.vni;
        let (bridge, vxlan) = (LinkName::bridge(vni), LinkName::vxlan(vni));
        let underlay = desired.underlay();
        let tunnel =
            LinkKind::Vxlan { vni, local: underlay.address, port: underlay.port, learning: false };
        let port = BridgePort { bridge: bridge.clone(), flags: PortFlags::TUNNEL };
        let link = |kind, port| Link {
            kind,
            mtu: network.mtu.into(),
            alias: network_alias(&network.uid),
            address: MacAddress::DEVICE,
            up: true,
            port,
        };
        self.links.insert(bridge, link(LinkKind::Bridge(vni), None));
        self.links.insert(vxlan.clone(), link(tunnel, Some(port)));
        for remote in &network.remotes {
            let entry = BridgeEntry { link: vxlan.clone(), origin: Origin::Told };
            self.fdb.bridge.insert((vni, remote.mac), entry);
            self.fdb.tunnel.entry((vni, remote.mac)).or_default().insert(remote.vtep);
            self.fdb.flood.insert((vni, remote.vtep));
        }
    }

    fn add_port(&mut self, network: &Network, port: &Port) {
        let name = LinkName::tap(&port.uid);
        let bridge = LinkName::bridge(network.vni);
        let link = Link {
            kind: LinkKind::Tap { owner: Some(port.owner) },
            mtu: network.mtu.into(),
            alias: port_alias(&port.uid, &port.server),
            address: MacAddress::DEVICE,
            up: true,
            port: Some(BridgePort { bridge, flags: PortFlags::TAP }),
        };
        self.links.insert(name.clone(), link);
        let entry = BridgeEntry { link: name.clone(), origin: Origin::Bound };
        self.fdb.bridge.insert((network.vni, port.mac), entry);
        self.elements.add_port(&name, port);
    }
}
