//! How many addresses of a network can be given to servers. Pure.

use std::net::Ipv4Addr;

use suigen_crds::tenant_network::Subnet;

/// Whether no server is ever given an address of a subnet: the first and last
/// one of it, its gateway, and resolvers within it.
pub fn is_reserved(subnet: &Subnet, address: Ipv4Addr) -> bool {
    address == subnet.cidr.0.network()
        || address == subnet.cidr.0.broadcast()
        || subnet.gateway.is_some_and(|gateway| gateway.0 == address)
        || subnet.nameservers.iter().any(|nameserver| nameserver.0 == address)
}

/// How many addresses of the subnets are neither reserved nor claimed.
pub fn free(subnets: &[Subnet], claimed: impl Iterator<Item = Ipv4Addr>) -> i64 {
    let taken = claimed.filter(|address| {
        subnets
            .iter()
            .any(|subnet| subnet.cidr.0.contains(address) && !is_reserved(subnet, *address))
    });
    let room: i64 = subnets.iter().map(room).sum();
    room - i64::try_from(taken.count()).unwrap_or(i64::MAX)
}

fn room(subnet: &Subnet) -> i64 {
    let cidr = &subnet.cidr.0;
    let all = 1_i64 << (32 - i64::from(cidr.prefix_len()));
    let mut reserved = vec![cidr.network(), cidr.broadcast()];
    reserved.extend(subnet.gateway.map(|gateway| gateway.0));
    reserved.extend(subnet.nameservers.iter().map(|n| n.0).filter(|n| cidr.contains(n)));
    reserved.sort_unstable();
    reserved.dedup();
    all - i64::try_from(reserved.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subnets(all: serde_json::Value) -> Vec<Subnet> {
        serde_json::from_value(all).unwrap()
    }

    fn claimed(addresses: &[&str]) -> std::vec::IntoIter<Ipv4Addr> {
        addresses.iter().map(|a| a.parse().unwrap()).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn what_is_reserved_or_claimed_is_not_free() {
        let plain = || subnets(json!([{"name": "a", "cidr": "10.0.0.0/29"}]));
        assert_eq!(free(&plain(), claimed(&[])), 6);
        assert_eq!(free(&plain(), claimed(&["10.0.0.3", "10.0.1.3"])), 5, "one is elsewhere");
        let full = subnets(json!([{"name": "a", "cidr": "10.0.0.0/29", "gateway": "10.0.0.1",
            "nameservers": ["10.0.0.2", "9.9.9.9", "10.0.0.1"]}]));
        assert_eq!(free(&full, claimed(&["10.0.0.1"])), 4, "reserved and claimed counts once");
        let two = subnets(
            json!([{"name": "a", "cidr": "10.0.0.0/30"}, {"name": "b", "cidr": "11.0.0.0/8"}]),
        );
        assert_eq!(free(&two, claimed(&["10.0.0.1", "11.9.9.9"])), 1 + (1 << 24) - 3);
        assert_eq!(free(&[], claimed(&[])), 0);
    }
}
