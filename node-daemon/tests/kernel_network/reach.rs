//! Guests of a tenant reach each other.

use crate::guest::ping;
use crate::lab::{Lab, MTU, port};

#[test]
fn kernel_guests_of_a_tenant_reach_each_other_across_nodes() {
    let lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let mut a = lab.a.guest(tenant.port_a());
    let mut b = lab.b.guest(tenant.port_b());
    ping(&mut a, &mut b, b"small");
    ping(&mut b, &mut a, b"back");
    // The largest packet that the network promises, unfragmented.
    ping(&mut a, &mut b, &vec![0x5a; usize::from(MTU) - 28]);
}

#[test]
fn kernel_guests_on_one_node_reach_each_other() {
    let lab = Lab::start();
    let second = port(1, 12);
    let tenant = lab.tenant(1).with_port_on_a(&second, lab.a.underlay.address);
    lab.host(&[&tenant]);
    let mut first = lab.a.guest(tenant.port_a());
    let mut second = lab.a.guest(&second);
    ping(&mut first, &mut second, b"same node");
    let mut far = lab.b.guest(tenant.port_b());
    ping(&mut far, &mut second, b"and from afar");
}

#[test]
fn kernel_guests_without_given_addresses_use_what_they_like() {
    let lab = Lab::start();
    let (given, mut free) = (lab.tenant(1), lab.tenant(1));
    for port in free.on_a.ports.iter_mut().chain(&mut free.on_b.ports) {
        port.addresses.clear();
    }
    lab.host(&[&free]);
    let mut a = lab.a.guest(given.port_a());
    let mut b = lab.b.guest(given.port_b());
    ping(&mut a, &mut b, b"any address");
    ping(&mut b, &mut a, b"and back");
    // What a node finds of itself is what it wants, or it would repair for ever.
    let again = lab.a.reconcile(&lab.a.desired(vec![free.on_a.clone()]));
    assert!(again.ops.is_empty(), "{again:?}");
}
