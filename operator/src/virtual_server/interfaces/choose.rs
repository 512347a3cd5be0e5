//! What each interface of a server gets: chosen once, before the server is
//! first placed, and kept. Pure.

use suigen_crds::address_claim::AddressClaimSpec;
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::{Address, MacAddress};
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::network_port::port_name;

use super::resolve::{Network, resolve, still};
use super::{Interfaces, Wanted, address, mac};
use crate::virtual_server::state::Hurdle;

/// Whose interfaces they are.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// The server's namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a Uid,
}

/// The interfaces as they go into a placement: those that the server has, or
/// new ones.
///
/// # Errors
/// With the first thing that stands in the way.
pub fn choose(
    own: &Own<'_>,
    interfaces: &Interfaces,
    kept: &[PlacedInterface],
) -> Result<Vec<PlacedInterface>, Hurdle> {
    if kept.is_empty() { new(own, interfaces) } else { check_kept(interfaces, kept) }
}

fn check_kept(
    interfaces: &Interfaces,
    kept: &[PlacedInterface],
) -> Result<Vec<PlacedInterface>, Hurdle> {
    for placed in kept {
        let Some(wanted) = interfaces.find(&placed.name) else { continue };
        still(wanted, placed)?;
        mac::free(wanted, placed.mac_address)?;
        placed.addresses.iter().try_for_each(|address| address::free(wanted, *address))?;
    }
    Ok(kept.to_vec())
}

fn new(own: &Own<'_>, interfaces: &Interfaces) -> Result<Vec<PlacedInterface>, Hurdle> {
    let both = |wanted| resolve(wanted).map(|network| (wanted, network));
    let resolved = interfaces.wanted.iter().map(both).collect::<Result<Vec<_>, _>>()?;
    let macs = macs(own, &resolved)?;
    resolved.iter().try_for_each(|(wanted, network)| address::check(wanted, network))?;
    asked_once(&resolved)?;
    let mut placed = Vec::<PlacedInterface>::new();
    for ((wanted, network), mac_address) in resolved.iter().zip(macs) {
        let addresses = match &wanted.entry.addresses[..] {
            [] => {
                let port = port_name(own.name, &wanted.entry.name);
                let mut given = given(&resolved, &placed, network);
                given.extend(interfaces.claimed_elsewhere(&wanted.entry, &network.uid, &port));
                let claimed = interfaces.claimed(&network.uid, &port);
                address::pick(own, wanted, network, &claimed, &given)?.into_iter().collect()
            }
            asked => asked.to_vec(),
        };
        placed.push(PlacedInterface {
            name: wanted.entry.name.clone(),
            tenant_network_name: wanted.entry.tenant_network_name.clone(),
            network_uid: network.uid.clone(),
            vni: network.vni,
            mtu: network.mtu,
            mac_address,
            addresses,
        });
    }
    Ok(placed)
}

fn macs(own: &Own<'_>, resolved: &[(&Wanted, Network<'_>)]) -> Result<Vec<MacAddress>, Hurdle> {
    let mut macs = Vec::<(&Uid, MacAddress)>::new();
    for (wanted, network) in resolved {
        let same = macs.iter().filter(|(uid, _)| **uid == network.uid);
        let before: Vec<_> = same.map(|(_, mac)| *mac).collect();
        macs.push((&network.uid, mac::choose(own, wanted, &before)?));
    }
    Ok(macs.into_iter().map(|(_, mac)| mac).collect())
}

/// No two interfaces of the server ask for one address.
fn asked_once(resolved: &[(&Wanted, Network<'_>)]) -> Result<(), Hurdle> {
    for (index, (wanted, network)) in resolved.iter().enumerate() {
        let earlier = resolved[..index].iter().filter(|(_, other)| other.uid == network.uid);
        for (other, _) in earlier {
            let twice = wanted.entry.addresses.iter().find(|a| other.entry.addresses.contains(a));
            if let Some(address) = twice {
                let text = format!(
                    "{address} is asked for by interface {:?} of this server too: create the server with another",
                    other.entry.name
                );
                return Err(super::blocked(&wanted.entry, "addresses", "AddressTaken", &text));
            }
        }
    }
    Ok(())
}

/// Addresses of a network that the server's interfaces ask for or were given.
fn given(
    resolved: &[(&Wanted, Network<'_>)],
    placed: &[PlacedInterface],
    network: &Network<'_>,
) -> Vec<Address> {
    let asked = resolved.iter().filter(|(_, other)| other.uid == network.uid);
    let asked = asked.flat_map(|(wanted, _)| wanted.entry.addresses.iter());
    let chosen = placed.iter().filter(|other| other.network_uid == network.uid);
    asked.chain(chosen.flat_map(|other| other.addresses.iter())).copied().collect()
}

/// The claims that a placement with these interfaces needs. All are asked for
/// at each placement: a store may still show one that is gone.
pub fn claims(own: &Own<'_>, interfaces: &[PlacedInterface]) -> Vec<AddressClaimSpec> {
    let of_one = |placed: &PlacedInterface| {
        let (placed, own) = (placed.clone(), *own);
        placed.addresses.clone().into_iter().map(move |address| AddressClaimSpec {
            tenant_network_name: placed.tenant_network_name.clone(),
            network_uid: placed.network_uid.clone(),
            address,
            port_name: port_name(own.name, &placed.name),
            server_uid: own.uid.clone(),
        })
    };
    interfaces.iter().flat_map(of_one).collect()
}
