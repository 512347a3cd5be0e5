//! The node's own rules do not see tenants' frames, nor does a guest reach
//! what the node would forward.

use std::net::Ipv4Addr;

use suigen_node_daemon::network::ident::LinkName;
use suigen_node_daemon::network::tap::{self, Framing};

use crate::guest::{Guest, ping};
use crate::lab::{Lab, Node, port, wait_until};

const RULES: &str = "nft -f - <<'X'
table ip watcher {
	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		ip saddr 10.0.0.0/24 counter
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ip saddr 10.0.0.0/24 counter drop
	}
}
X";

fn counted(node: &Node) -> Vec<u64> {
    let rules = node.in_host("nft list table ip watcher");
    let count = |line: &str| line.split("counter packets ").nth(1)?.split(' ').next()?.parse().ok();
    rules.lines().filter_map(count).collect()
}

#[test]
fn kernel_rules_of_the_node_never_see_a_tenants_frame() {
    let lab = Lab::start();
    let near = port(1, 12);
    let tenant = lab.tenant(1).with_port_on_a(&near, lab.a.underlay.address);
    lab.host(&[&tenant]);
    // As practically every cluster sets it.
    lab.a.in_host(
        "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables; sysctl -qw net.ipv4.ip_forward=1",
    );
    lab.a.in_host(RULES);
    let mut a = lab.a.guest(tenant.port_a());
    let (mut near, mut far) = (lab.a.guest(&near), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut near, b"on the node");
    ping(&mut a, &mut far, b"across nodes");
    // To addresses that the node has, or would translate.
    let bridge = suigen_node_daemon::network::ident::MacAddress::DEVICE;
    for target in [lab.a.underlay.address, lab.b.underlay.address, Ipv4Addr::new(10, 96, 0, 1)] {
        a.say((bridge, target), b"to the node");
        a.say((crate::frames::BROADCAST, target), b"to anybody");
    }
    ping(&mut a, &mut far, b"and all has arrived");
    assert_eq!(counted(&lab.a), [0, 0]);

    // The same frames on a bridge of the node's own are seen.
    lab.a.in_host(
        "ip link add control type bridge; ip link set control up
         for tap in control0 control1; do
             ip tuntap add $tap mode tap; ip link set $tap master control up
         done",
    );
    let mut guests = ["control0", "control1"].map(|name| {
        let name = LinkName::observed(name.to_owned());
        let fd = tap::attach(&lab.a.host, &name, Framing::Plain).unwrap();
        Guest::new(fd, tenant.port_a())
    });
    wait_until("the node's rules see the node's bridge", || {
        guests[0].say((crate::frames::BROADCAST, Ipv4Addr::new(10, 0, 0, 77)), b"control");
        counted(&lab.a).iter().all(|count| *count > 0)
    });
    let passed = guests[1].drain();
    assert!(!passed.iter().any(|frame| crate::frames::contains(frame, b"control")));
}
