//! From facts to the networks of the data plane. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use suigen_crds::ident::Uid;
use suigen_crds::net_ident::Address;

use super::age::Here;
use super::facts::{Facts, Hosting, NetworkFact, PortFact, Presence};
use crate::network::desired::{Network, Port, RemotePort};
use crate::network::dhcp::Lease;

/// Only root opens taps; QEMU is given descriptors.
const OWNER: u32 = 0;
/// What DHCP answers from where a subnet has no gateway: an address that no
/// subnet can contain (RFC 3927), answered by ARP at the tap.
const SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// Leases are kept in the API: the time only tells how soon a guest hears of
/// other resolvers.
const LEASE_SECONDS: u32 = 3600;

/// The ports of a network.
type Ports<'a> = Vec<(&'a Uid, &'a PortFact)>;

/// The networks to host.
#[must_use]
pub fn compose(facts: &Facts, here: &Here) -> Vec<Network> {
    let mut by_network: BTreeMap<&Uid, Ports<'_>> = BTreeMap::new();
    for (uid, port) in &facts.ports {
        by_network.entry(&port.spec.network_uid).or_default().push((uid, port));
    }
    let hosted = facts.networks.iter().filter(|(_, network)| network.hosting != Hosting::No);
    let composed = hosted.map(|(uid, network)| {
        let mut ports = by_network.remove(uid).unwrap_or_default();
        ports.retain(|(_, port)| is_of(port, uid, network));
        compose_network(facts, here, (uid, network), ports)
    });
    let mut networks: Vec<Network> = composed.collect();
    networks.sort_by_key(|network| network.vni);
    networks
}

/// Whether a port is of its network, and not said to be on another VNI.
#[must_use]
pub fn is_of(port: &PortFact, uid: &Uid, network: &NetworkFact) -> bool {
    port.spec.network_uid == *uid && port.spec.vni == network.vni
}

fn compose_network(
    facts: &Facts,
    here: &Here,
    (uid, network): (&Uid, &NetworkFact),
    ports: Ports<'_>,
) -> Network {
    let remotes = ports.iter().filter_map(|(_, port)| remote(facts, here, port)).collect();
    let mut local = ports;
    local.retain(|(_, port)| here.has(port));
    local.sort_by_key(|(uid, port)| (port.created.as_ref().map(|time| time.0), *uid));
    Network {
        vni: network.vni,
        uid: uid.clone(),
        mtu: network.mtu,
        ports: local.into_iter().map(|(uid, port)| compose_port(uid, port, network)).collect(),
        remotes,
    }
}

/// A port elsewhere, once it is known where that node's tunnels end.
fn remote(facts: &Facts, here: &Here, port: &PortFact) -> Option<RemotePort> {
    let binding = port.spec.binding.as_ref()?;
    if binding.node_name == here.node || port.presence == Presence::Gone {
        return None;
    }
    let Address(vtep) = *facts.vteps.get(&binding.node_name)?;
    Some(RemotePort { mac: port.spec.mac_address, vtep })
}

fn compose_port(uid: &Uid, port: &PortFact, network: &NetworkFact) -> Port {
    Port {
        uid: uid.clone(),
        server: port.spec.server_uid.clone(),
        owner: OWNER,
        mac: port.spec.mac_address,
        addresses: port.spec.addresses.iter().map(|address| address.0).collect::<BTreeSet<_>>(),
        class: None,
        lease: lease(port, network),
    }
}

/// What DHCP tells: the first address that is of a subnet.
fn lease(port: &PortFact, network: &NetworkFact) -> Option<Lease> {
    let subnet_of = |address: &Address| {
        network.subnets.iter().find(|subnet| subnet.cidr.0.contains(&address.0))
    };
    let (address, subnet) =
        port.spec.addresses.iter().find_map(|address| Some((address.0, subnet_of(address)?)))?;
    let router = subnet.gateway.map(|gateway| gateway.0);
    Some(Lease {
        address,
        prefix: subnet.cidr.0.prefix_len(),
        server: router.unwrap_or(SERVER),
        router,
        dns: subnet.nameservers.iter().map(|server| server.0).collect(),
        hostname: port.spec.server_name.clone(),
        mtu: network.mtu,
        seconds: LEASE_SECONDS,
    })
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
