//! What becomes of claims and ports that are not needed any more. Pure.

use std::sync::Arc;

use kube::ResourceExt;
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::network_port::{NetworkPort, port_name};

use super::Interfaces;

/// Ports to be deleted with their server.
pub fn ports_to_delete(interfaces: &Interfaces, uid: &str) -> Vec<String> {
    let live = |port: &&Arc<NetworkPort>| port.metadata.deletion_timestamp.is_none();
    interfaces.ports(uid).filter(live).map(|port| port.name_any()).collect()
}

/// Where ports of a server still are, for people.
pub fn remaining(interfaces: &Interfaces, uid: &str) -> Option<String> {
    let at = |port: &Arc<NetworkPort>| {
        let node = port.spec.binding.as_ref().map(|binding| binding.node_name.to_string());
        node.unwrap_or_else(|| "no node".to_owned())
    };
    let mut nodes: Vec<_> = interfaces.ports(uid).map(at).collect();
    nodes.sort();
    nodes.dedup();
    (!nodes.is_empty()).then(|| nodes.join(", "))
}

/// Claims of a live server that it can never use: those that a second operator
/// made at the same time and that lost, and those in a network that was
/// replaced. What the server has is never among them, and what it may yet be
/// given neither.
pub fn claims_to_drop(
    interfaces: &Interfaces,
    server: &str,
    kept: &[PlacedInterface],
) -> Vec<Arc<AddressClaim>> {
    let unused = |claim: &&Arc<AddressClaim>| {
        let spec = &claim.spec;
        if kept.is_empty() {
            let named = interfaces
                .wanted
                .iter()
                .find(|wanted| wanted.entry.tenant_network_name == spec.tenant_network_name);
            let network = named.and_then(|wanted| wanted.network.found());
            return network
                .is_some_and(|n| n.metadata.uid.as_deref() != Some(spec.network_uid.as_str()));
        }
        !kept.iter().any(|placed| {
            placed.network_uid == spec.network_uid
                && placed.addresses.contains(&spec.address)
                && port_name(server, &placed.name) == spec.port_name
        })
    };
    interfaces.claims.iter().filter(unused).cloned().collect()
}
