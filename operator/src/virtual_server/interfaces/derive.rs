//! What follows from names alone: MAC addresses, and the order in which
//! addresses are tried. Two operators, or the same one after a restart, come
//! to the same answer.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};
use suigen_crds::net_ident::{Address, MacAddress};
use suigen_crds::tenant_network::Subnet;

/// The MAC address of an interface that asks for none: locally administered,
/// with 40 bits of the names, so that it survives a restore of the server.
pub fn mac_of(namespace: &str, network: &str, server: &str, interface: &str) -> MacAddress {
    let [a, b, c, d, e, ..] = digest(&[namespace, network, server, interface]);
    MacAddress::new([0x02, a, b, c, d, e])
}

fn digest(parts: &[&str]) -> [u8; 32] {
    // No part has a slash, so no two lists of parts read alike.
    Sha256::digest(parts.join("/")).into()
}

/// Addresses of a subnet that a server may be given unasked, all of them once:
/// from one that follows from the seed upward, then from the first.
pub fn candidates<'a>(subnet: &'a Subnet, seed: &[&str]) -> impl Iterator<Item = Address> + 'a {
    let first = u32::from(subnet.cidr.0.network());
    let hosts = u32::from(subnet.cidr.0.broadcast()).saturating_sub(first).saturating_sub(1);
    let [a, b, c, d, ..] = digest(seed);
    let start = u32::from_be_bytes([a, b, c, d]).checked_rem(hosts).unwrap_or_default();
    let nth = move |n| Address(Ipv4Addr::from(first.saturating_add(1).saturating_add(n)));
    (start..hosts)
        .chain(0..start)
        .map(nth)
        .filter(|address| reserved(subnet, *address).is_none())
        .filter(|address| !subnet.nameservers.contains(address))
}

/// What an address of a subnet is, when no server can have it.
pub fn reserved(subnet: &Subnet, address: Address) -> Option<&'static str> {
    if address.0 == subnet.cidr.0.network() {
        return Some("the first address of the subnet, which names the subnet itself");
    }
    if address.0 == subnet.cidr.0.broadcast() {
        return Some("the last address of the subnet, which means everybody in it");
    }
    (subnet.gateway == Some(address)).then_some("the gateway of the subnet")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn subnet(with: serde_json::Value) -> Subnet {
        serde_json::from_value(with).unwrap()
    }

    #[test]
    fn a_mac_follows_from_all_four_names_and_can_be_a_ports() {
        let mac = mac_of("acme", "web", "a", "eth0");
        assert_eq!(mac.to_string(), "02:96:e7:b2:72:3f");
        assert!(mac.for_port().is_ok());
        for other in [
            mac_of("acm", "web", "a", "eth0"),
            mac_of("acme", "we", "a", "eth0"),
            mac_of("acme", "web", "b", "eth0"),
            mac_of("acme", "web", "a", "eth1"),
        ] {
            assert_ne!(mac, other);
        }
    }

    #[test]
    fn every_usable_address_is_tried_once() {
        let with = json!({"name": "a", "cidr": "10.20.0.0/28", "gateway": "10.20.0.1",
            "nameservers": ["10.20.0.2", "9.9.9.9"]});
        let subnet = subnet(with);
        let mut starts = BTreeSet::new();
        for server in ["a", "b", "c", "d"] {
            let tried: Vec<_> = candidates(&subnet, &["uid", server, "eth0"]).collect();
            let once: BTreeSet<_> = tried.iter().copied().collect();
            assert_eq!((tried.len(), once.len()), (12, 12), "14 hosts, a gateway, a resolver");
            starts.insert(tried[0]);
        }
        assert!(starts.len() > 1, "servers start at different ones");
    }

    #[test]
    fn the_smallest_subnet_has_two_addresses() {
        let subnet = subnet(json!({"name": "a", "cidr": "10.20.0.4/30"}));
        let tried: BTreeSet<_> =
            candidates(&subnet, &["x"]).map(|address| address.to_string()).collect();
        assert_eq!(tried.into_iter().collect::<Vec<_>>(), ["10.20.0.5", "10.20.0.6"]);
        for (address, is) in [("10.20.0.4", true), ("10.20.0.7", true), ("10.20.0.5", false)] {
            let address = Address::try_from(address.to_owned()).unwrap();
            assert_eq!(reserved(&subnet, address).is_some(), is, "{address}");
        }
    }
}
