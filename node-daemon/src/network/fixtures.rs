//! Networks for the tests of the pure parts.

use std::net::Ipv4Addr;

use suigen_crds::ident::Uid;

use super::desired::{Desired, Network, Port, RemotePort, Underlay};
use super::ident::{MacAddress, Vni};

pub const HERE: Underlay = Underlay { address: Ipv4Addr::new(192, 0, 2, 1), mtu: 1600, port: 4789 };

pub fn uid(group: &str) -> Uid {
    Uid::try_from(format!("{group}-0000-4000-8000-000000000000")).unwrap()
}

pub fn port(group: &str, host: u8) -> Port {
    Port {
        uid: uid(group),
        server: uid("0000000a"),
        owner: 40_000,
        mac: MacAddress::new([2, 0, 0, 0, 0, host]),
        addresses: [Ipv4Addr::new(10, 0, 0, host)].into(),
        class: None,
        lease: None,
    }
}

pub fn remote(host: u8, vtep: u8) -> RemotePort {
    RemotePort { mac: MacAddress::new([2, 0, 0, 0, 0, host]), vtep: Ipv4Addr::new(192, 0, 2, vtep) }
}

/// A network with a port here and one each on two other nodes.
pub fn network(vni: u32, tap: &str) -> Network {
    Network {
        vni: Vni::try_from(vni).unwrap(),
        uid: uid("0000000b"),
        mtu: 1500,
        ports: vec![port(tap, 10)],
        remotes: vec![remote(11, 2), remote(12, 3)],
    }
}

pub fn desired(networks: Vec<Network>) -> Desired {
    let (desired, refused) = Desired::admit(HERE, networks);
    assert_eq!(refused, []);
    desired
}
