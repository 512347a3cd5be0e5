//! What a guest must not send goes nowhere: not to its neighbours on the node,
//! nor to other nodes, nor to the node itself.

use std::net::Ipv4Addr;

use suigen_node_daemon::network::ident::MacAddress;

use crate::frames::{self, BROADCAST, contains, ethernet};
use crate::guest::Guest;
use crate::lab::{Lab, port};

const SECRET: &[u8] = b"must not arrive";
const OTHER: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 0x99]);

fn udp_from(address: Ipv4Addr, ports: (u16, u16)) -> Vec<u8> {
    let datagram = frames::udp(ports.0, ports.1, SECRET);
    frames::ipv4(address, Ipv4Addr::BROADCAST, 17, &datagram)
}

fn arp_from(operation: u16, sender: (MacAddress, Ipv4Addr)) -> Vec<u8> {
    let mut packet = frames::arp(operation, sender, (BROADCAST, Ipv4Addr::new(10, 0, 0, 1)));
    packet.extend(SECRET);
    packet
}

/// Name and frame of everything that is forbidden.
fn forbidden(guest: &Guest, neighbour: &Guest) -> Vec<(&'static str, Vec<u8>)> {
    let (mac, address) = (guest.mac, guest.address);
    let own = udp_from(address, (9, 9));
    let good = ethernet(mac, BROADCAST, 0x0800, &own);
    let to = neighbour.mac;
    let group = |last| MacAddress::new([0x01, 0x80, 0xc2, 0, 0, last]);
    let mut fragment = own.clone();
    fragment[7] = 1;
    let mut ipv6 = vec![0x60, 0, 0, 0, 0, 15, 59, 64];
    ipv6.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    ipv6.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    ipv6.extend(SECRET);
    let stolen = Ipv4Addr::new(10, 0, 0, 1);
    vec![
        ("an unknown MAC", ethernet(OTHER, BROADCAST, 0x0800, &own)),
        ("the neighbour's MAC", ethernet(neighbour.mac, BROADCAST, 0x0800, &own)),
        ("the services' MAC", ethernet(MacAddress::SERVICE, BROADCAST, 0x0800, &own)),
        ("a group's MAC", ethernet(BROADCAST, to, 0x0800, &own)),
        ("a foreign address", ethernet(mac, BROADCAST, 0x0800, &udp_from(stolen, (9, 9)))),
        (
            "the neighbour's address",
            ethernet(mac, to, 0x0800, &udp_from(neighbour.address, (9, 9))),
        ),
        ("no address", ethernet(mac, to, 0x0800, &udp_from(Ipv4Addr::UNSPECIFIED, (9, 9)))),
        (
            "ARP for a foreign address",
            ethernet(mac, BROADCAST, 0x0806, &arp_from(1, (mac, stolen))),
        ),
        ("an ARP reply for it", ethernet(mac, to, 0x0806, &arp_from(2, (mac, stolen)))),
        ("ARP for another MAC", ethernet(mac, to, 0x0806, &arp_from(2, (OTHER, address)))),
        ("an ARP reply from nobody", {
            ethernet(mac, to, 0x0806, &arp_from(2, (mac, Ipv4Addr::UNSPECIFIED)))
        }),
        ("RARP", ethernet(mac, BROADCAST, 0x8035, &arp_from(3, (mac, address)))),
        ("a DHCP server", ethernet(mac, BROADCAST, 0x0800, &udp_from(address, (67, 68)))),
        ("a DHCP request", ethernet(mac, BROADCAST, 0x0800, &udp_from(address, (68, 67)))),
        ("a VLAN tag", frames::tagged(&good, 0x8100, 5)),
        ("VLAN 0", frames::tagged(&good, 0x8100, 0)),
        ("a service tag", frames::tagged(&good, 0x88a8, 5)),
        ("two tags", frames::tagged(&frames::tagged(&good, 0x8100, 5), 0x88a8, 6)),
        ("IPv6", ethernet(mac, BROADCAST, 0x86dd, &ipv6)),
        ("spanning tree", ethernet(mac, group(0), 0x0800, &own)),
        ("LLDP", ethernet(mac, group(14), 0x88cc, SECRET)),
        ("a loopback frame", ethernet(mac, to, 0x9000, SECRET)),
        ("a frame of 802.3", ethernet(mac, to, 60, SECRET)),
        ("an unknown destination", ethernet(mac, OTHER, 0x0800, &own)),
        ("the bridge itself", ethernet(mac, MacAddress::DEVICE, 0x0800, &own)),
        ("a fragment from a foreign address", {
            let mut packet = udp_from(stolen, (9, 9));
            packet[7] = 1;
            ethernet(mac, to, 0x0800, &packet)
        }),
    ]
}

#[test]
fn kernel_what_a_guest_must_not_send_goes_nowhere() {
    let lab = Lab::start();
    let near = port(1, 12);
    let tenant = lab.tenant(1).with_port_on_a(&near, lab.a.underlay.address);
    lab.host(&[&tenant]);
    let mut guest = lab.a.guest(tenant.port_a());
    let (mut near, mut far) = (lab.a.guest(&near), lab.b.guest(tenant.port_b()));
    let uplink = crate::capture::Capture::begin(&lab.a.host);
    for (name, frame) in forbidden(&guest, &near) {
        guest.send(&frame);
        // One that may pass, on the same way: what was to arrive has by then.
        let marker = format!("after {name}");
        guest.say((BROADCAST, Ipv4Addr::BROADCAST), marker.as_bytes());
        for (who, witness) in [("near", &mut near), ("far", &mut far)] {
            let heard = witness.hears(marker.as_bytes());
            assert!(!heard.iter().any(|frame| contains(frame, SECRET)), "{name} arrived {who}");
        }
    }
    let wire = uplink.take();
    assert!(wire.iter().any(|seen| contains(&seen.frame, b"after a VLAN tag")));
    let leaked = wire.iter().any(|seen| contains(&seen.frame, SECRET));
    assert!(!leaked, "something forbidden went out to the underlay");
}

#[test]
fn kernel_an_extra_address_may_be_used_and_a_probe_sent() {
    let lab = Lab::start();
    let mut tenant = lab.tenant(1);
    let extra = Ipv4Addr::new(10, 0, 0, 100);
    tenant.on_a.ports[0].addresses.insert(extra);
    lab.host(&[&tenant]);
    let mut a = lab.a.guest(tenant.port_a());
    let mut b = lab.b.guest(tenant.port_b());
    let packet = frames::ipv4(extra, b.address, 17, &frames::udp(7, 7, b"from the extra one"));
    a.send(&ethernet(a.mac, b.mac, 0x0800, &packet));
    b.hears(b"from the extra one");
    let announced = frames::arp(1, (a.mac, extra), (BROADCAST, extra));
    a.send(&ethernet(a.mac, BROADCAST, 0x0806, &announced));
    b.hears(&announced);
    // RFC 5227: a probe has no sender's address.
    let probe = frames::arp(1, (a.mac, Ipv4Addr::UNSPECIFIED), (MacAddress::ZERO, extra));
    a.send(&ethernet(a.mac, BROADCAST, 0x0806, &probe));
    b.hears(&probe);
}

/// Whether frames with a stolen MAC pass from the guest to its neighbour.
fn stolen_mac_passes(guest: &mut Guest, near: &mut Guest, marker: &[u8]) -> bool {
    guest.send(&ethernet(OTHER, BROADCAST, 0x0800, &udp_from(guest.address, (9, 9))));
    guest.say((BROADCAST, Ipv4Addr::BROADCAST), marker);
    near.hears(marker).iter().any(|frame| contains(frame, SECRET))
}

#[test]
fn kernel_a_stolen_mac_is_stopped_by_the_rules_and_by_the_lock_alone() {
    let lab = Lab::start();
    let near = port(1, 12);
    let tenant = lab.tenant(1).with_port_on_a(&near, lab.a.underlay.address);
    lab.host(&[&tenant]);
    let (mut guest, mut near) = (lab.a.guest(tenant.port_a()), lab.a.guest(&near));
    lab.a.in_tenants("bridge link set dev st-0001000a locked off");
    assert!(!stolen_mac_passes(&mut guest, &mut near, b"rules alone"));
    lab.a.in_tenants("bridge link set dev st-0001000a locked on; nft delete table bridge suigen");
    assert!(!stolen_mac_passes(&mut guest, &mut near, b"lock alone"));
    lab.a.in_tenants("bridge link set dev st-0001000a locked off");
    assert!(stolen_mac_passes(&mut guest, &mut near, b"neither"));
}

#[test]
fn kernel_the_nodes_own_stack_does_not_answer_a_guest() {
    let lab = Lab::start();
    let near = port(1, 12);
    let tenant = lab.tenant(1).with_port_on_a(&near, lab.a.underlay.address);
    lab.host(&[&tenant]);
    let (mut guest, mut near) = (lab.a.guest(tenant.port_a()), lab.a.guest(&near));
    // Even if a bridge had an address, which it never has.
    let bridge = Ipv4Addr::new(10, 0, 0, 200);
    lab.a.in_tenants("ip address add 10.0.0.200/24 dev sg-5001");
    let who = frames::arp(1, (guest.mac, guest.address), (MacAddress::ZERO, bridge));
    let reply = frames::arp(2, (MacAddress::DEVICE, bridge), (guest.mac, guest.address));
    guest.send(&ethernet(guest.mac, BROADCAST, 0x0806, &who));
    near.hears(&who);
    assert!(!guest.drain().iter().any(|frame| contains(frame, &reply)));
    // It is the rules that keep it from answering.
    lab.a.in_tenants("nft delete table bridge suigen");
    guest.send(&ethernet(guest.mac, BROADCAST, 0x0806, &who));
    guest.hears(&reply);
}
