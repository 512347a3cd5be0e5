//! The addresses of an interface: as asked for, or a free one. Pure.

use std::collections::BTreeSet;

use suigen_crds::net_ident::Address;
use suigen_crds::network_interface::NetworkInterface;
use suigen_crds::tenant_network::Subnet;

use super::choose::Own;
use super::derive::{candidates, reserved};
use super::resolve::Network;
use super::{Wanted, blocked, waits};
use crate::virtual_server::state::Hurdle;

const FIELD: &str = "addresses";

/// Whether the addresses that an interface asks for can be used in its network
/// at all, and by nobody else.
///
/// # Errors
/// With the first that cannot.
pub fn check(wanted: &Wanted, network: &Network<'_>) -> Result<(), Hurdle> {
    let entry = &wanted.entry;
    let mut subnets = BTreeSet::new();
    for address in &entry.addresses {
        let subnet = subnet_of(entry, network, *address)?;
        if let Some(what) = reserved(subnet, *address) {
            let text = format!("{address} is {what}: create the server with another address");
            return Err(blocked(entry, FIELD, "AddressReserved", &text));
        }
        if !subnets.insert(&subnet.name) {
            let text = format!(
                "two addresses of subnet {:?}: an interface has at most one of each; use another interface for the second",
                subnet.name
            );
            return Err(blocked(entry, FIELD, "TwoAddressesInOneSubnet", &text));
        }
    }
    entry.addresses.iter().try_for_each(|address| free(wanted, *address))
}

fn subnet_of<'a>(
    entry: &NetworkInterface,
    network: &Network<'a>,
    address: Address,
) -> Result<&'a Subnet, Hurdle> {
    let inside = network.subnets.iter().find(|subnet| subnet.cidr.0.contains(&address.0));
    inside.ok_or_else(|| {
        let name = &entry.tenant_network_name;
        let cidrs: Vec<_> = network.subnets.iter().map(|subnet| subnet.cidr.to_string()).collect();
        let text = if cidrs.is_empty() {
            format!("{address} is outside TenantNetwork {name:?}, which has no subnets: create the server without addresses, or add a subnet to the network")
        } else {
            format!("{address} is outside TenantNetwork {name:?}, which has {}: create the server with an address inside, or with none", cidrs.join(" and "))
        };
        blocked(entry, FIELD, "AddressOutsideSubnet", &text)
    })
}

/// Whether no other server of the network has an address.
///
/// # Errors
/// When one has.
pub fn free(wanted: &Wanted, address: Address) -> Result<(), Hurdle> {
    let entry = &wanted.entry;
    let Some(server) = wanted.taken.addresses.get(&address) else { return Ok(()) };
    let text = format!(
        "{address} of TenantNetwork {:?} is in use by server {server}: delete that server, or create this one with another address",
        entry.tenant_network_name
    );
    Err(waits(entry, FIELD, "AddressTaken", &text))
}

/// An address for an interface that asks for none; none in a network without
/// subnets. One that is claimed for it already comes first, so that a look
/// that was cut off is gone on with. `given` are those of the server's other
/// interfaces in the same network.
///
/// # Errors
/// When every address is in use.
pub fn pick(
    own: &Own<'_>,
    wanted: &Wanted,
    network: &Network<'_>,
    claimed: &BTreeSet<Address>,
    given: &[Address],
) -> Result<Option<Address>, Hurdle> {
    let entry = &wanted.entry;
    let usable = |address: &Address| {
        !given.contains(address) && !wanted.taken.addresses.contains_key(address)
    };
    let ours = |subnet: &Subnet| {
        let inside = |address: &&Address| {
            subnet.cidr.0.contains(&address.0) && reserved(subnet, **address).is_none()
        };
        claimed.iter().filter(inside).find(|address| usable(address)).copied()
    };
    if let Some(address) = network.subnets.iter().find_map(ours) {
        return Ok(Some(address));
    }
    let seed = [network.uid.as_str(), own.name, &entry.name];
    let mut subnets = network.subnets.iter();
    let free = subnets.find_map(|subnet| candidates(subnet, &seed).find(usable));
    if free.is_some() || network.subnets.is_empty() {
        return Ok(free);
    }
    let text = format!(
        "TenantNetwork {:?} has no free address: delete a server that is in it, or add a subnet to it",
        entry.tenant_network_name
    );
    Err(waits(entry, FIELD, "NoFreeAddress", &text))
}
