//! Whatever a guest sends, it reaches its own network and nothing else.

use suigen_e2e::scenario::manifest::{Network, Server};

use crate::capture::{Capture, Seen};
use crate::guest::{Guest, Session};
use crate::harness::{SOON, Scenario};
use crate::net;

/// The same addresses, MACs and names in both tenants.
const A: &str = "networkInterfaces: [{name: eth0, tenantNetworkName: web, addresses: [10.20.0.10], macAddress: \"02:00:00:00:00:0a\"}]";
const B: &str = "networkInterfaces: [{name: eth0, tenantNetworkName: web, addresses: [10.20.0.11], macAddress: \"02:00:00:00:00:0b\"}]";
const NODES: [&str; 2] = ["node-a", "node-b"];

/// A byte that fills the packets of a tenant, and what is captured of them.
struct Marker {
    byte: &'static str,
    bytes: [u8; 24],
    /// An address that only this tenant asks for by ARP.
    asks: [u8; 4],
}

const ONE: Marker = Marker { byte: "a7", bytes: [0xa7; 24], asks: [10, 20, 0, 101] };
const TWO: Marker = Marker { byte: "5e", bytes: [0x5e; 24], asks: [10, 20, 0, 102] };

struct Tenant<'a> {
    scenario: &'a Scenario,
    marker: Marker,
    guests: [Guest<'a>; 2],
}

impl<'a> Tenant<'a> {
    fn apply(scenario: &Scenario) {
        scenario.apply(&Network::web(&scenario.namespace).yaml());
        scenario.wait("tenantnetwork/web", "Ready", SOON);
    }

    fn up(scenario: &'a Scenario, marker: Marker) -> Self {
        Self { scenario, marker, guests: [Guest::up(scenario, "a"), Guest::up(scenario, "b")] }
    }

    /// The links of this tenant on a node.
    fn links(&self, node: &str) -> Vec<String> {
        let vni = net::vni(self.scenario, "web");
        let guest = self.guests.iter().find(|guest| guest.node == node).expect("a guest there");
        let port = format!("networkport/{}.eth0", guest.name);
        let port = self.scenario.field(&port, "{.metadata.uid}");
        vec![format!("sg-{vni}"), format!("sx-{vni}"), format!("st-{}", &port[..8])]
    }

    fn wrote(&self, seen: &Seen) -> bool {
        let arp = seen.frame.get(12..14) == Some(&[0x08, 0x06]);
        seen.contains(&self.marker.bytes) || (arp && seen.contains(&self.marker.asks))
    }
}

fn server(scenario: &Scenario, name: &str, interface: &'static str) -> String {
    Server { spec: &[interface], ..scenario.tiny(name) }.yaml()
}

/// Sends from a guest what it may and what it may not.
fn shout(guest: &mut Session, marker: &Marker) {
    let Marker { byte, asks, .. } = marker;
    let asked = asks.map(|byte| byte.to_string()).join(".");
    let ping = format!("ping -c 1 -W 1 -s 64 -p {byte}");
    for line in [
        format!("{ping} 10.20.0.11; {ping} 10.20.0.10"),
        format!("{ping} 10.20.0.255"),
        format!("arping -q -c 2 -w 1 -I eth0 {asked}"),
        // Addresses of somebody else: the neighbour's, the gateway's, a stranger's.
        format!(
            "for s in 10.20.0.1 10.20.0.77 192.0.2.9; do ip addr add $s/32 dev eth0; \
             arping -q -c 1 -w 1 -U -I eth0 -s $s $s; {ping} -I $s 10.20.0.255; \
             ip addr del $s/32 dev eth0; done"
        ),
        // Inside a VLAN, every id of the other's bridge included.
        format!(
            "modprobe 8021q; for v in 0 1 5; do ip link add link eth0 name v$v type vlan id $v; \
             ip addr add 10.20.9.1/24 dev v$v; ip link set v$v up; {ping} -I v$v 10.20.9.255; \
             ip link del v$v; done"
        ),
        // To the tunnels' port of both nodes, by way of whoever may answer.
        format!(
            "for mac in 02:00:00:00:00:0a 02:00:00:00:00:0b 0e:53:55:49:00:00 0e:53:55:49:00:01; do \
             for n in 11 12; do ip route replace 10.77.0.$n dev eth0; \
             arp -i eth0 -s 10.77.0.$n $mac || echo no arp; {ping} 10.77.0.$n; \
             traceroute -n -p 4789 -q 1 -m 1 -w 1 10.77.0.$n 64; \
             ip route del 10.77.0.$n; done; done"
        ),
        // With another's MAC address, from which nothing may come at all.
        format!(
            "ip addr add 10.20.0.66/24 dev eth0; for mac in 02:00:00:00:00:0c 0e:53:55:49:00:00; do \
             ip link set eth0 down; ip link set eth0 address $mac; ip link set eth0 up; \
             {ping} 10.20.0.255; done"
        ),
    ] {
        guest.run(&format!("({line}) >/dev/null 2>&1"));
    }
}

#[test]
fn e2e_tenants_with_the_same_addresses_see_nothing_of_each_other() {
    let first = Scenario::shared("tenant-1");
    let second = first.beside("tenant-2");
    for scenario in [&first, &second] {
        Tenant::apply(scenario);
        scenario.apply_on(NODES[0], &server(scenario, "a", A), &["a"]);
        scenario.apply_on(NODES[1], &server(scenario, "b", B), &["b"]);
    }
    let tenants = [Tenant::up(&first, ONE), Tenant::up(&second, TWO)];
    for tenant in &tenants {
        let mut guest = tenant.guests[0].session();
        net::has_address(&mut guest, "10.20.0.10");
        net::has_address(&mut tenant.guests[1].session(), "10.20.0.11");
        net::pings(&mut guest, "10.20.0.11");
    }
    let captures = NODES.map(|node| net::namespaces(&first, node).map(|it| Capture::begin(&it)));
    std::thread::scope(|scope| {
        for tenant in &tenants {
            for guest in &tenant.guests {
                scope.spawn(|| shout(&mut guest.session(), &tenant.marker));
            }
        }
    });
    for (node, [on_node, in_tenants]) in NODES.into_iter().zip(&captures) {
        let inside = in_tenants.take();
        for (tenant, other) in [(&tenants[0], &tenants[1]), (&tenants[1], &tenants[0])] {
            let links = tenant.links(node);
            let here = || inside.iter().filter(|seen| links.contains(&seen.link));
            assert!(here().any(|seen| tenant.wrote(seen)), "{node}: the capture sees something");
            let leaks: Vec<&Seen> = here().filter(|seen| other.wrote(seen)).collect();
            assert!(leaks.is_empty(), "{node}: a foreign frame on {:?}", leaks[0].link);
        }
        only_in_its_tunnel(&tenants, node, &on_node.take());
    }
}

/// What leaves a node of a tenant's frames is inside the tunnel of its VNI.
fn only_in_its_tunnel(tenants: &[Tenant<'_>; 2], node: &str, wire: &[Seen]) {
    for tenant in tenants {
        let vni: u32 = net::vni(tenant.scenario, "web").parse().expect("a number");
        let carried: Vec<&Seen> = wire.iter().filter(|seen| tenant.wrote(seen)).collect();
        assert!(!carried.is_empty(), "{node}: the capture of the underlay sees something");
        for seen in carried {
            let tunnel = vxlan_vni(&seen.frame);
            assert_eq!(tunnel, Some(vni), "{node}: a frame on {} outside its tunnel", seen.link);
            let tagged = seen.frame.get(62..64) == Some(&[0x81, 0x00]);
            assert!(!tagged, "{node}: a VLAN tag in the tunnel");
        }
    }
}

/// The VNI of a frame that is VXLAN over UDP over IPv4 (RFC 7348).
fn vxlan_vni(frame: &[u8]) -> Option<u32> {
    let udp_to_tunnel = frame.get(12..14)? == [0x08, 0x00]
        && *frame.get(23)? == 17
        && frame.get(36..38)? == 4789_u16.to_be_bytes();
    let vni = frame.get(46..49)?;
    udp_to_tunnel.then(|| u32::from_be_bytes([0, vni[0], vni[1], vni[2]]))
}
