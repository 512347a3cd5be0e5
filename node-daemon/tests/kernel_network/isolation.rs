//! Two tenants with the same addresses on the same nodes see nothing of each
//! other.

use std::net::Ipv4Addr;

use crate::capture::Capture;
use crate::frames::{self, BROADCAST, contains};
use crate::guest::{Guest, ping};
use crate::lab::{Lab, Tenant};

/// Frames of every kind that a guest may or may not send, each with a marker.
fn everything(
    guest: &Guest,
    peer: (suigen_node_daemon::network::ident::MacAddress, Ipv4Addr),
    marker: &[u8],
    vni: u32,
) -> Vec<Vec<u8>> {
    let (mac, address) = (guest.mac, guest.address);
    let datagram = frames::ipv4(address, peer.1, 17, &frames::udp(9, 9, marker));
    let broadcast = frames::ipv4(address, Ipv4Addr::BROADCAST, 17, &frames::udp(9, 9, marker));
    let mut arp = frames::arp(1, (mac, address), (BROADCAST, peer.1));
    arp.extend(marker);
    let plain = frames::ethernet(mac, BROADCAST, 0x0800, &broadcast);
    let mut tunnelled = vec![8, 0, 0, 0];
    tunnelled.extend((vni << 8).to_be_bytes());
    tunnelled.extend(&plain);
    let vtep = Ipv4Addr::new(192, 0, 2, 2);
    let vxlan = frames::ipv4(address, vtep, 17, &frames::udp(4789, 4789, &tunnelled));
    vec![
        frames::ethernet(mac, peer.0, 0x0800, &datagram),
        plain.clone(),
        frames::ethernet(mac, BROADCAST, 0x0806, &arp),
        frames::ethernet(mac, BROADCAST, 0x0800, &vxlan),
        frames::ethernet(mac, peer.0, 0x0800, &vxlan),
        frames::tagged(&plain, 0x8100, u16::try_from(vni % 4095).unwrap()),
        frames::tagged(&plain, 0x88a8, 1),
        frames::ethernet(mac, BROADCAST, 0x1234, marker),
    ]
}

#[test]
fn kernel_no_frame_crosses_between_tenants() {
    let lab = Lab::start();
    let (one, two) = (lab.tenant(1), lab.tenant(2));
    lab.host(&[&one, &two]);
    let captures = [&lab.a, &lab.b].map(|node| Capture::begin(node.plane.namespace()));
    let mut ones = [lab.a.guest(one.port_a()), lab.b.guest(one.port_b())];
    let mut twos = [lab.a.guest(two.port_a()), lab.b.guest(two.port_b())];
    shout(&mut ones, b"secret of tenant one", two.vni.get());
    shout(&mut twos, b"secret of tenant two", one.vni.get());
    // What was sent before this has arrived wherever it goes.
    let [first, second] = &mut ones;
    ping(first, second, b"end of one");
    let [first, second] = &mut twos;
    ping(first, second, b"end of two");

    for (node, capture) in [(0, &captures[0]), (1, &captures[1])] {
        let seen = capture.take();
        let on = |tenant: &Tenant| match node {
            0 => tenant.links(&tenant.on_a),
            _ => tenant.links(&tenant.on_b),
        };
        for (tenant, own, foreign) in [
            (&one, &b"secret of tenant one"[..], &b"secret of tenant two"[..]),
            (&two, b"secret of tenant two", b"secret of tenant one"),
        ] {
            let links = on(tenant);
            let here = || seen.iter().filter(|frame| links.contains(&frame.link));
            assert!(here().any(|seen| contains(&seen.frame, own)), "the capture sees something");
            let leaks: Vec<&str> = here()
                .filter(|seen| contains(&seen.frame, foreign))
                .map(|seen| seen.link.as_str())
                .collect();
            assert!(leaks.is_empty(), "node {node}: a foreign frame on {leaks:?}");
        }
    }
}

fn shout(guests: &mut [Guest; 2], marker: &[u8], foreign_vni: u32) {
    let peers = [(guests[1].mac, guests[1].address), (guests[0].mac, guests[0].address)];
    for (guest, peer) in guests.iter_mut().zip(peers) {
        for frame in everything(guest, peer, marker, foreign_vni) {
            guest.send(&frame);
        }
    }
}

#[test]
fn kernel_a_node_has_nothing_of_a_network_that_it_does_not_host() {
    let lab = Lab::start();
    let (one, two) = (lab.tenant(1), lab.tenant(2));
    lab.a.host_networks(vec![one.on_a.clone(), two.on_a.clone()]);
    lab.b.host_networks(vec![one.on_b.clone()]);
    let links = lab.b.in_tenants("ip -o link");
    assert!(links.contains("sg-5001") && !links.contains("5002"), "{links}");
    let rules = lab.b.in_tenants("nft list ruleset");
    assert!(rules.contains("st-0001000b") && !rules.contains("st-0002"), "{rules}");
}
