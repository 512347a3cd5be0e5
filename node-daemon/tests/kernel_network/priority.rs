//! The class that a port's frames are given in the tenants' namespace chooses
//! the class of HTB on the uplink in the node's namespace: shaping builds on
//! it.

use suigen_node_daemon::network::desired::Class;

use crate::guest::ping;
use crate::lab::{Lab, Node, UPLINK};

fn sent(node: &Node, class: &str) -> u64 {
    let statistics = node.in_host(&format!("tc -s class show dev {UPLINK} classid {class}"));
    let sent = statistics.split("bytes ").nth(1).and_then(|rest| rest.split(' ').next());
    sent.unwrap_or_else(|| panic!("{statistics}")).parse().unwrap()
}

#[test]
fn kernel_a_ports_class_survives_into_the_uplinks_htb() {
    let lab = Lab::start();
    let (mut one, two) = (lab.tenant(1), lab.tenant(2));
    one.on_a.ports[0].class = Some(Class { major: 1, minor: 0x10 });
    lab.host(&[&one, &two]);
    lab.a.in_host(&format!(
        "tc qdisc add dev {UPLINK} root handle 1: htb default 99
         tc class add dev {UPLINK} parent 1: classid 1:1 htb rate 1gbit quantum 60000
         tc class add dev {UPLINK} parent 1:1 classid 1:10 htb rate 100mbit ceil 1gbit quantum 60000
         tc class add dev {UPLINK} parent 1:1 classid 1:99 htb rate 100mbit ceil 1gbit quantum 60000"
    ));
    let (mut a, mut b) = (lab.a.guest(one.port_a()), lab.b.guest(one.port_b()));
    // The end points find each other; that is not the tenants' traffic.
    ping(&mut a, &mut b, b"first");
    let (classed, rest) = (sent(&lab.a, "1:10"), sent(&lab.a, "1:99"));
    for _ in 0..20 {
        ping(&mut a, &mut b, b"classed");
    }
    // Each ping is an ARP request and an echo request.
    assert_eq!(sent(&lab.a, "1:10") - classed, 40);
    assert!(sent(&lab.a, "1:99") - rest < 20, "only the underlay's own ARP");

    let (mut a, mut b) = (lab.a.guest(two.port_a()), lab.b.guest(two.port_b()));
    let (classed, rest) = (sent(&lab.a, "1:10"), sent(&lab.a, "1:99"));
    for _ in 0..20 {
        ping(&mut a, &mut b, b"not classed");
    }
    assert_eq!(sent(&lab.a, "1:10"), classed);
    assert!(sent(&lab.a, "1:99") - rest >= 40);
}
