//! Who is looked at again when something of a network changes.

use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::{NetworkSegment, SegmentPhase};
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;

use super::Wake;
use crate::context::Context;
use crate::watch::feed::Change;

impl Wake {
    fn network(&self, namespace: &str, name: &str) {
        let _ = self.networks.unbounded_send(ObjectRef::new(name).within(namespace));
    }

    fn segment(&self, segment: &NetworkSegment) {
        let _ = self.segments.unbounded_send(ObjectRef::from_obj(segment));
    }

    fn port(&self, port: &NetworkPort) {
        let _ = self.ports.unbounded_send(ObjectRef::from_obj(port));
    }

    fn claim(&self, claim: &AddressClaim) {
        let _ = self.claims.unbounded_send(ObjectRef::from_obj(claim));
    }
}

/// A network changed: itself, the servers that name it, and its segment.
pub fn on_tenant_network(ctx: &Context, change: Change<TenantNetwork>) {
    let network = match change {
        Change::Applied(network) => network,
        Change::Gone(network) => {
            ctx.forget(&*network);
            network
        }
        Change::Listed => {
            for network in ctx.stores.tenant_networks.state() {
                ctx.wake.network(&namespace(&*network), &network.name_any());
            }
            return;
        }
    };
    let (namespace, name) = (namespace(&*network), network.name_any());
    ctx.wake.network(&namespace, &name);
    let names = |server: &VirtualServer| names(server, &namespace, &name);
    ctx.stores.servers.state_filter(names).iter().for_each(|server| ctx.wake.server(server));
    let uid = network.uid();
    let of_it = |s: &NetworkSegment| Some(s.spec.network.uid.as_str()) == uid.as_deref();
    ctx.stores.network_segments.state_filter(of_it).iter().for_each(|s| ctx.wake.segment(s));
}

/// A segment changed: itself and its network; when a VNI became free, every
/// network that has none.
pub fn on_network_segment(ctx: &Context, change: Change<NetworkSegment>) {
    match change {
        Change::Applied(segment) => {
            ctx.wake.segment(&segment);
            ctx.wake.network(&segment.spec.network.namespace, &segment.spec.network.name);
        }
        Change::Gone(segment) => {
            ctx.forget(&*segment);
            let has_none = |network: &TenantNetwork| {
                network.status.as_ref().is_none_or(|status| status.vni.is_none())
            };
            for network in ctx.stores.tenant_networks.state_filter(has_none) {
                ctx.wake.network(&namespace(&*network), &network.name_any());
            }
        }
        Change::Listed => {
            ctx.stores.network_segments.state().iter().for_each(|s| ctx.wake.segment(s));
        }
    }
}

/// A port changed: itself, its server, its network, and what is freed with it.
pub fn on_network_port(ctx: &Context, change: Change<NetworkPort>) {
    let (port, gone) = match change {
        Change::Applied(port) => (port, false),
        Change::Gone(port) => (port, true),
        Change::Listed => {
            ctx.stores.network_ports.state().iter().for_each(|port| ctx.wake.port(port));
            return;
        }
    };
    let (namespace, network) = (namespace(&*port), &port.spec.tenant_network_name);
    ctx.wake.server_named(&namespace, &port.spec.server_name);
    ctx.wake.network(&namespace, network);
    if gone {
        ctx.forget(&*port);
        let of_it = |claim: &AddressClaim| claim.spec.server_uid == port.spec.server_uid;
        ctx.stores.address_claims.state_filter(of_it).iter().for_each(|c| ctx.wake.claim(c));
        unplaced(ctx, &namespace, network);
    } else {
        ctx.wake.port(&port);
    }
}

/// A claim changed: itself and its network; when an address became free, the
/// servers that may wait for it.
pub fn on_address_claim(ctx: &Context, change: Change<AddressClaim>) {
    let (claim, gone) = match change {
        Change::Applied(claim) => (claim, false),
        Change::Gone(claim) => (claim, true),
        Change::Listed => {
            ctx.stores.address_claims.state().iter().for_each(|claim| ctx.wake.claim(claim));
            return;
        }
    };
    let (namespace, network) = (namespace(&*claim), &claim.spec.tenant_network_name);
    ctx.wake.network(&namespace, network);
    if gone {
        ctx.forget(&*claim);
        if let Some((server, _)) = claim.spec.port_name.rsplit_once('.') {
            ctx.wake.server_named(&namespace, server);
        }
        unplaced(ctx, &namespace, network);
    } else {
        ctx.wake.claim(&claim);
    }
}

/// A server is gone: whatever is left of its interfaces.
pub fn of_server(ctx: &Context, server: &VirtualServer) {
    let uid = server.uid().unwrap_or_default();
    let port = |port: &NetworkPort| port.spec.server_uid.as_str() == uid;
    ctx.stores.network_ports.state_filter(port).iter().for_each(|port| ctx.wake.port(port));
    let claim = |claim: &AddressClaim| claim.spec.server_uid.as_str() == uid;
    ctx.stores.address_claims.state_filter(claim).iter().for_each(|c| ctx.wake.claim(c));
}

/// A hypervisor changed: networks whose MTU may follow from it, and segments
/// that wait for it.
pub fn of_hypervisor(ctx: &Context, hypervisor: &Hypervisor) {
    let unresolved =
        |network: &TenantNetwork| network.status.as_ref().is_none_or(|status| status.mtu.is_none());
    for network in ctx.stores.tenant_networks.state_filter(unresolved) {
        ctx.wake.network(&namespace(&*network), &network.name_any());
    }
    let name = hypervisor.name_any();
    let waits = |segment: &NetworkSegment| {
        segment.status.as_ref().is_some_and(|status| {
            status.phase == Some(SegmentPhase::Releasing)
                && status.hosts.iter().any(|host| host.as_str() == name)
        })
    };
    ctx.stores.network_segments.state_filter(waits).iter().for_each(|s| ctx.wake.segment(s));
}

/// Servers of a network that nobody runs: one of them may wait for what became
/// free.
fn unplaced(ctx: &Context, namespace: &str, network: &str) {
    let waits = |server: &VirtualServer| {
        names(server, namespace, network)
            && server.status.as_ref().is_none_or(|status| status.placement.is_none())
    };
    ctx.stores.servers.state_filter(waits).iter().for_each(|server| ctx.wake.server(server));
}

fn names(server: &VirtualServer, namespace: &str, network: &str) -> bool {
    server.namespace().as_deref() == Some(namespace)
        && server.spec.network_interfaces.iter().any(|i| i.tenant_network_name == network)
}

fn namespace<K: Resource>(object: &K) -> String {
    object.namespace().unwrap_or_default()
}
