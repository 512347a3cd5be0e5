//! What a look at a server takes in of its networks. Only memory is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::net_ident::{Address, MacAddress};
use suigen_crds::network_interface::{NetworkInterface, PlacedInterface};
use suigen_crds::network_port::{NetworkPort, port_name};
use suigen_crds::network_segment::{NetworkSegment, segment_name};
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::{PowerState, VirtualServer};

use super::choose::Own;
use super::{Interfaces, Taken, Wanted};
use crate::context::Context;
use crate::memory::{Created, Written};
use crate::placement::ledger::Ledger;
use crate::watch::lookup::{Lookup, lookup};
use crate::watch::unreadable::Unreadable;

/// Where it is looked up.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// Tenant networks.
    pub networks: &'a Store<TenantNetwork>,
    /// Segments.
    pub segments: &'a Store<NetworkSegment>,
    /// Ports.
    pub ports: &'a Store<NetworkPort>,
    /// Claims.
    pub claims: &'a Store<AddressClaim>,
    /// Servers.
    pub servers: &'a Store<VirtualServer>,
    /// What could not be read.
    pub unreadable: &'a Unreadable,
    /// Own writes that a store must show.
    pub written: &'a Written,
    /// Ports that were made just now.
    pub created: &'a Created,
}

impl<'a> Sources<'a> {
    /// The stores of this process.
    pub const fn of(ctx: &'a Context) -> Self {
        Self {
            networks: &ctx.stores.tenant_networks,
            segments: &ctx.stores.network_segments,
            ports: &ctx.stores.network_ports,
            claims: &ctx.stores.address_claims,
            servers: &ctx.stores.servers,
            unreadable: &ctx.unreadable,
            written: &ctx.written,
            created: &ctx.created,
        }
    }
}

/// The word under which a port that was made is awaited: disks are awaited
/// under their plain names.
pub fn awaited_as(port: &str) -> String {
    format!("networkports/{port}")
}

/// Gathers. A server without interfaces costs nothing.
pub fn gather(
    server: &VirtualServer,
    own: &Own<'_>,
    sources: &Sources<'_>,
    ledger: &Ledger,
    now: Timestamp,
) -> Interfaces {
    let entries = &server.spec.network_interfaces;
    if entries.is_empty() {
        return Interfaces::default();
    }
    let ports: Vec<_> = entries.iter().map(|entry| port_of(own, entry, sources)).collect();
    let behind = entries.iter().zip(&ports).any(|(entry, port)| match port {
        Lookup::Found(port) => sources.written.is_behind(&port.metadata),
        Lookup::Missing => {
            let name = awaited_as(&port_name(own.name, &entry.name));
            sources.created.is_awaited(own.namespace, &name, now)
        }
        Lookup::Unreadable(_) => false,
    });
    let mut networks = Networks { own, sources, ledger, taken: BTreeMap::new() };
    let look = needs_look(server, &ports);
    let wanted = entries
        .iter()
        .zip(ports)
        .map(|(entry, port)| networks.wanted(server, entry, port, look))
        .collect();
    let claims = if look { claims(own, sources) } else { Vec::new() };
    Interfaces { wanted, claims, behind }
}

/// Whether it matters what others have, and what is claimed for the server:
/// when it is to be placed, has a port to be made, or is to go.
fn needs_look(server: &VirtualServer, ports: &[Lookup<NetworkPort>]) -> bool {
    server.metadata.deletion_timestamp.is_some()
        || (server.spec.power_state == PowerState::PoweredOn
            && suigen_crds::right::is_free(server.status.as_ref()))
        || ports.iter().any(|port| port.found().is_none())
}

fn port_of(own: &Own<'_>, entry: &NetworkInterface, from: &Sources<'_>) -> Lookup<NetworkPort> {
    lookup(from.ports, from.unreadable, own.namespace, &port_name(own.name, &entry.name))
}

fn claims(own: &Own<'_>, from: &Sources<'_>) -> Vec<Arc<AddressClaim>> {
    from.claims.state_filter(|claim| {
        claim.spec.server_uid == *own.uid && claim.namespace().as_deref() == Some(own.namespace)
    })
}

struct Networks<'a> {
    own: &'a Own<'a>,
    sources: &'a Sources<'a>,
    ledger: &'a Ledger,
    taken: BTreeMap<String, Arc<Taken>>,
}

impl Networks<'_> {
    fn wanted(
        &mut self,
        server: &VirtualServer,
        entry: &NetworkInterface,
        port: Lookup<NetworkPort>,
        look: bool,
    ) -> Wanted {
        let (from, name) = (self.sources, &entry.tenant_network_name);
        let network = lookup(from.networks, from.unreadable, self.own.namespace, name);
        let placed = server.status.iter().flat_map(|status| &status.interfaces);
        let placed = placed.into_iter().find(|placed| placed.name == entry.name);
        let status = network.found().and_then(|network| network.status.as_ref());
        let vni = placed.map(|placed| placed.vni).or_else(|| status.and_then(|s| s.vni));
        let segment = vni.map_or(Lookup::Missing, |vni| {
            lookup(from.segments, from.unreadable, "", &segment_name(vni))
        });
        let taken = if look { self.taken(name) } else { Arc::default() };
        Wanted { entry: entry.clone(), network, segment, port, taken }
    }

    /// What others have in a network, by its name: a claim of an earlier
    /// network of that name is in the way just as well.
    fn taken(&mut self, network: &str) -> Arc<Taken> {
        if let Some(taken) = self.taken.get(network) {
            return taken.clone();
        }
        let mut taken = Taken::default();
        self.claimed(network, &mut taken.addresses);
        self.bound(network, &mut taken.macs);
        self.placed(network, &mut taken);
        let taken = Arc::new(taken);
        self.taken.insert(network.to_owned(), taken.clone());
        taken
    }

    fn claimed(&self, network: &str, addresses: &mut BTreeMap<Address, String>) {
        let theirs = |claim: &AddressClaim| {
            claim.spec.tenant_network_name == network
                && claim.spec.server_uid != *self.own.uid
                && claim.namespace().as_deref() == Some(self.own.namespace)
        };
        for claim in self.sources.claims.state_filter(theirs) {
            let port = &claim.spec.port_name;
            let server = port.rsplit_once('.').map_or(port.as_str(), |(server, _)| server);
            addresses.insert(claim.spec.address, server.to_owned());
        }
    }

    fn bound(&self, network: &str, macs: &mut BTreeMap<MacAddress, String>) {
        let theirs = |port: &NetworkPort| {
            port.spec.tenant_network_name == network
                && port.spec.server_uid != *self.own.uid
                && port.namespace().as_deref() == Some(self.own.namespace)
        };
        for port in self.sources.ports.state_filter(theirs) {
            macs.insert(port.spec.mac_address, port.spec.server_name.clone());
        }
    }

    /// What was written with a placement, or is about to be, though no claim or
    /// port shows it yet.
    fn placed(&self, network: &str, taken: &mut Taken) {
        let others = |server: &VirtualServer| {
            server.metadata.uid.as_deref() != Some(self.own.uid.as_str())
                && server.namespace().as_deref() == Some(self.own.namespace)
                && server.status.as_ref().is_some_and(|status| !status.interfaces.is_empty())
        };
        for server in self.sources.servers.state_filter(others) {
            let status = server.status.as_ref();
            note(network, &server.name_any(), status.map_or(&[][..], |s| &s.interfaces), taken);
        }
        for promise in self.ledger.others(self.own.uid) {
            if promise.namespace == self.own.namespace {
                note(network, &promise.server, &promise.interfaces, taken);
            }
        }
    }
}

fn note(network: &str, server: &str, interfaces: &[PlacedInterface], taken: &mut Taken) {
    for placed in interfaces.iter().filter(|placed| placed.tenant_network_name == network) {
        let held = placed.addresses.iter().map(|address| (*address, server.to_owned()));
        taken.addresses.extend(held);
        taken.macs.insert(placed.mac_address, server.to_owned());
    }
}
