//! The network interfaces of servers.
//!
//! ```text
//! networks Ready ─► choose: MAC, addresses ─► AddressClaims (POST) ─► placement + interfaces
//!                                                                            │ one patch
//!         bound ◄── NetworkPorts (POST, or a higher epoch) ◄── hosts of each segment
//! ```
//! What is in `status.interfaces` was claimed before it was written there, and
//! stays for the server's life. Each arrow may be cut off: the next look goes
//! on from what the API shows.

mod address;
pub mod apply;
pub mod choose;
pub mod derive;
mod mac;
pub mod observe;
pub mod release;
mod resolve;
pub mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use suigen_crds::address_claim::AddressClaim;
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::{Address, MacAddress};
use suigen_crds::network_interface::NetworkInterface;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::tenant_network::TenantNetwork;

use super::state::{Hurdle, Problem};
use crate::watch::lookup::Lookup;

/// The interfaces of a server, and all that a decision on them depends on.
#[derive(Debug, Default, Clone)]
pub struct Interfaces {
    /// In the order of the spec.
    pub wanted: Vec<Wanted>,
    /// Every claim for the server; only looked at when some may have to be
    /// made or dropped.
    pub claims: Vec<Arc<AddressClaim>>,
    /// Whether a store does not show our last write yet.
    pub behind: bool,
}

/// One interface of the spec.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What the spec says.
    pub entry: NetworkInterface,
    /// The network that it names.
    pub network: Lookup<TenantNetwork>,
    /// The segment of the network's VNI.
    pub segment: Lookup<NetworkSegment>,
    /// What the name of its port leads to.
    pub port: Lookup<NetworkPort>,
    /// What others have in the network.
    pub taken: Arc<Taken>,
}

/// What other servers have in a network, with the name of the server.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Addresses.
    pub addresses: BTreeMap<Address, String>,
    /// MAC addresses.
    pub macs: BTreeMap<MacAddress, String>,
}

impl Interfaces {
    /// The interface of that name.
    pub fn find(&self, name: &str) -> Option<&Wanted> {
        self.wanted.iter().find(|wanted| wanted.entry.name == name)
    }

    /// Every port of the server.
    pub fn ports<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Arc<NetworkPort>> {
        let ports = self.wanted.iter().filter_map(|wanted| wanted.port.found());
        ports.filter(move |port| port.spec.server_uid.as_str() == uid)
    }

    /// Addresses of a network that are claimed for one interface already.
    fn claimed(&self, network: &Uid, port: &str) -> BTreeSet<Address> {
        let ours =
            |c: &&Arc<AddressClaim>| c.spec.port_name == port && c.spec.network_uid == *network;
        self.claims.iter().filter(ours).map(|claim| claim.spec.address).collect()
    }

    /// Addresses of a network, by its name, that are claimed for the server but
    /// not for this interface of it.
    fn claimed_elsewhere(
        &self,
        placed: &NetworkInterface,
        network: &Uid,
        port: &str,
    ) -> Vec<Address> {
        let theirs = |c: &&Arc<AddressClaim>| {
            c.spec.tenant_network_name == placed.tenant_network_name
                && (c.spec.port_name != port || c.spec.network_uid != *network)
        };
        self.claims.iter().filter(theirs).map(|claim| claim.spec.address).collect()
    }
}

/// Reasons that go away when another server goes, so they are looked at again
/// though nothing else wakes the server.
pub const FREED_BY_OTHERS: [&str; 5] =
    ["AddressTaken", "MacAddressTaken", "NoFreeAddress", "PortNameTaken", "SegmentNotReady"];

/// A problem of one field of one interface, in words that begin with the field.
fn problem(entry: &NetworkInterface, field: &str, reason: &'static str, text: &str) -> Problem {
    Problem::new(reason, format!("networkInterfaces[{}].{field}: {text}", entry.name))
}

fn blocked(entry: &NetworkInterface, field: &str, reason: &'static str, text: &str) -> Hurdle {
    Hurdle::Blocked(problem(entry, field, reason, text))
}

fn waits(entry: &NetworkInterface, field: &str, reason: &'static str, text: &str) -> Hurdle {
    Hurdle::Waits(problem(entry, field, reason, text))
}

#[cfg(test)]
pub mod model;
#[cfg(test)]
mod race_tests;
#[cfg(test)]
mod tests;
