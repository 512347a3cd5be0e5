//! What this node should do for the networks that it hosts. Pure: whoever
//! feeds it has read objects of the API; here it is made consistent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use suigen_crds::ident::Uid;
use suigen_crds::tenant_network::OVERHEAD;

use super::dhcp::Lease;
use super::ident::{InvalidTerm, LinkName, MacAddress, Vni};

/// The least that IPv4 must carry, in bytes (RFC 791).
const MTU_MIN: u16 = 576;

/// The tunnel end point of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Underlay {
    /// The address that tunnels start from and end at.
    pub address: Ipv4Addr,
    /// The largest packet that the underlay carries, in bytes.
    pub mtu: u16,
    /// The UDP port of VXLAN; 4789 is the registered one (RFC 7348).
    pub port: u16,
}

/// A network that this node hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The identifier on the wire.
    pub vni: Vni,
    /// The TenantNetwork's UID.
    pub uid: Uid,
    /// The largest packet that a guest may send, in bytes.
    pub mtu: u16,
    /// The ports bound to this node, older ones first.
    pub ports: Vec<Port>,
    /// The ports bound to other nodes.
    pub remotes: Vec<RemotePort>,
}

/// The interface of a server that runs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The NetworkPort's UID; the tap is named after it.
    pub uid: Uid,
    /// The server's UID.
    pub server: Uid,
    /// The user id that may attach to the tap: that of the server's QEMU.
    pub owner: u32,
    /// The guest's MAC address; frames with any other go nowhere.
    pub mac: MacAddress,
    /// The guest's addresses and the extra ones that it may use; packets from
    /// any other go nowhere. None: the network has no subnets, and every address
    /// may be used.
    pub addresses: BTreeSet<Ipv4Addr>,
    /// The traffic class of what the guest sends, if it has one.
    pub class: Option<Class>,
    /// What DHCP answers at the tap; nothing answers if `None`.
    pub lease: Option<Lease>,
}

/// A port on another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemotePort {
    /// The guest's MAC address.
    pub mac: MacAddress,
    /// The tunnel end point (VTEP) of its node.
    pub vtep: Ipv4Addr,
}

/// A class of the uplink's queueing discipline, written `major:minor` in
/// hexadecimal (tc(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class {
    /// The queueing discipline's number.
    pub major: u16,
    /// The class's number in it.
    pub minor: u16,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}:{:x}", self.major, self.minor)
    }
}

/// Why a part of what was fed is left out. The rest is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two networks with one VNI.
    #[error("network {network}: VNI {vni} is given to another network already")]
    VniTaken { network: Uid, vni: Vni },
    /// The network's packets would not fit through the underlay.
    #[error(
        "network {network}: MTU {mtu} does not fit: the underlay carries {underlay} bytes, \
         {OVERHEAD} of which VXLAN takes"
    )]
    MtuTooLarge { network: Uid, mtu: u16, underlay: u16 },
    /// Less than what IPv4 must carry.
    #[error("network {network}: MTU {mtu} is less than {MTU_MIN}")]
    MtuTooSmall { network: Uid, mtu: u16 },
    /// No interface can have this MAC address.
    #[error("port {port}")]
    Mac { port: Uid, source: InvalidTerm },
    /// Another port of the network has the MAC address.
    #[error("port {port}: {mac} is the address of another port of the network")]
    MacTaken { port: Uid, mac: MacAddress },
    /// Another port of the network has the address.
    #[error("port {port}: {address} is an address of another port of the network")]
    AddressTaken { port: Uid, address: Ipv4Addr },
    /// Another port's tap has the name.
    #[error("port {port}: another port on this node has a tap named {name}")]
    TapName { port: Uid, name: LinkName },
    /// A port elsewhere that claims to be here.
    #[error("network {network}: the remote port {mac} has this node's own tunnel address")]
    RemoteIsHere { network: Uid, mac: MacAddress },
    /// A port elsewhere with a MAC address that is taken or cannot be.
    #[error("network {network}: the remote port {mac} has a MAC address that is taken or reserved")]
    RemoteMac { network: Uid, mac: MacAddress },
}

impl Refusal {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::VniTaken { .. } => "VniTaken",
            Self::MtuTooLarge { .. } => "MtuTooLarge",
            Self::MtuTooSmall { .. } => "MtuTooSmall",
            Self::Mac { source, .. } => source.reason(),
            Self::MacTaken { .. } | Self::RemoteMac { .. } => "MacTaken",
            Self::AddressTaken { .. } => "AddressTaken",
            Self::TapName { .. } => "TapNameTaken",
            Self::RemoteIsHere { .. } => "RemotePortIsHere",
        }
    }
}

/// A consistent set of networks: no VNI, MAC address, address or name twice
/// where it must be unique. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    underlay: Underlay,
    networks: Arc<BTreeMap<Vni, Arc<Network>>>,
    taps: Arc<BTreeMap<LinkName, Vni>>,
}

impl Desired {
    /// Takes what is consistent and says what is left out: the smallest part
    /// that does, and of two that clash the later one.
    #[must_use]
    pub fn admit(underlay: Underlay, networks: Vec<Network>) -> (Self, Vec<Refusal>) {
        let mut refused = Vec::new();
        let mut admitted = BTreeMap::new();
        let mut taps = BTreeMap::new();
        for network in networks {
            if let Some(refusal) = refuse_network(&network, &underlay, &admitted) {
                refused.push(refusal);
                continue;
            }
            let network = admit_ports(network, &underlay, &mut taps, &mut refused);
            admitted.insert(network.vni, Arc::new(network));
        }
        (Self { underlay, networks: Arc::new(admitted), taps: Arc::new(taps) }, refused)
    }

    /// Nothing: what is there is torn down.
    #[must_use]
    pub fn nothing(underlay: Underlay) -> Self {
        Self { underlay, networks: Arc::default(), taps: Arc::default() }
    }

    /// This node's tunnel end point.
    #[must_use]
    pub const fn underlay(&self) -> &Underlay {
        &self.underlay
    }

    /// The networks by VNI.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.networks.values().map(Arc::as_ref)
    }

    /// One network.
    #[must_use]
    pub fn network(&self, vni: Vni) -> Option<&Network> {
        self.networks.get(&vni).map(Arc::as_ref)
    }

    /// The network of the port that a tap belongs to.
    #[must_use]
    pub fn network_of_tap(&self, tap: &LinkName) -> Option<Vni> {
        self.taps.get(tap).copied()
    }

    /// The networks that are not as they were.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> BTreeSet<Vni> {
        let all = self.networks.keys().chain(before.networks.keys()).copied();
        if self.underlay != before.underlay {
            return all.collect();
        }
        if Arc::ptr_eq(&self.networks, &before.networks) {
            return BTreeSet::new();
        }
        let same = |vni: &Vni| match (self.networks.get(vni), before.networks.get(vni)) {
            (Some(is), Some(was)) => Arc::ptr_eq(is, was) || is == was,
            _ => false,
        };
        all.filter(|vni| !same(vni)).collect()
    }

    /// All ports bound here.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.networks.values().flat_map(|network| &network.ports)
    }
}

fn refuse_network(
    network: &Network,
    underlay: &Underlay,
    admitted: &BTreeMap<Vni, Arc<Network>>,
) -> Option<Refusal> {
    let (uid, vni, mtu) = (network.uid.clone(), network.vni, network.mtu);
    if admitted.contains_key(&vni) {
        return Some(Refusal::VniTaken { network: uid, vni });
    }
    if mtu < MTU_MIN {
        return Some(Refusal::MtuTooSmall { network: uid, mtu });
    }
    if mtu.saturating_add(OVERHEAD) > underlay.mtu {
        return Some(Refusal::MtuTooLarge { network: uid, mtu, underlay: underlay.mtu });
    }
    None
}

fn admit_ports(
    mut network: Network,
    underlay: &Underlay,
    taps: &mut BTreeMap<LinkName, Vni>,
    refused: &mut Vec<Refusal>,
) -> Network {
    let mut macs = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    let uid = network.uid.clone();
    network.ports.retain(|port| match refuse_port(port, &macs, &addresses, taps) {
        Some(refusal) => {
            refused.push(refusal);
            false
        }
        None => {
            macs.insert(port.mac);
            addresses.extend(port.addresses.iter().copied());
            taps.insert(LinkName::tap(&port.uid), network.vni).is_none()
        }
    });
    network.remotes.retain(|remote| {
        let (network, mac) = (uid.clone(), remote.mac);
        if remote.vtep == underlay.address {
            refused.push(Refusal::RemoteIsHere { network, mac });
            return false;
        }
        if mac.for_port().is_err() || !macs.insert(mac) {
            refused.push(Refusal::RemoteMac { network, mac });
            return false;
        }
        true
    });
    network
}

fn refuse_port(
    port: &Port,
    macs: &BTreeSet<MacAddress>,
    addresses: &BTreeSet<Ipv4Addr>,
    taps: &BTreeMap<LinkName, Vni>,
) -> Option<Refusal> {
    let (uid, mac, name) = (port.uid.clone(), port.mac, LinkName::tap(&port.uid));
    if let Err(source) = mac.for_port() {
        return Some(Refusal::Mac { port: uid, source });
    }
    if macs.contains(&mac) {
        return Some(Refusal::MacTaken { port: uid, mac });
    }
    if let Some(address) = port.addresses.intersection(addresses).next() {
        return Some(Refusal::AddressTaken { port: uid, address: *address });
    }
    if taps.contains_key(&name) {
        return Some(Refusal::TapName { port: uid, name });
    }
    None
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
