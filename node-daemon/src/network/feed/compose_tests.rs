use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::network::feed::fixtures::{
    changed_network, changed_port, facts, hypervisor, node, port, terminating_port, uid,
};

fn here() -> Here {
    Here {
        node: node("node-a"),
        residents: Some(BTreeSet::new()),
        releasing: BTreeMap::new(),
        now: Timestamp::UNIX_EPOCH,
    }
}

/// What is hosted once time has done its part.
fn hosted(mut facts: Facts) -> Vec<Network> {
    facts.age(&here());
    compose(&facts, &here())
}

fn only(facts: Facts) -> Network {
    let mut networks = hosted(facts);
    assert_eq!(networks.len(), 1, "{networks:?}");
    networks.remove(0)
}

#[test]
fn decide_a_port_here_is_served_and_one_elsewhere_is_reached() {
    let network = only(facts());
    assert_eq!((network.vni.get(), network.mtu), (5001, 1450));
    let [here] = network.ports.as_slice() else { panic!("{network:?}") };
    assert_eq!(here.uid, uid(10));
    let lease = here.lease.clone().unwrap();
    assert_eq!(lease.address, Ipv4Addr::new(10, 20, 0, 10));
    assert_eq!((lease.prefix, lease.mtu, lease.hostname.as_str()), (24, 1450, "web-10"));
    assert_eq!(lease.router, Some(Ipv4Addr::new(10, 20, 0, 1)));
    assert_eq!(lease.server, Ipv4Addr::new(10, 20, 0, 1));
    assert_eq!(lease.dns, [Ipv4Addr::new(10, 20, 0, 2)]);
    let [there] = network.remotes.as_slice() else { panic!("{network:?}") };
    assert_eq!(there.mac.to_string(), "02:00:00:00:00:0b");
    assert_eq!(there.vtep, Ipv4Addr::new(192, 0, 2, 2));
}

#[test]
fn decide_a_binding_under_a_lower_epoch_is_old_news() {
    let mut facts = facts();
    facts.hear_port(&port(11, ("node-a", 3)));
    facts.hear_port(&port(11, ("node-b", 2)));
    assert_eq!(only(facts.clone()).ports.len(), 2);
    facts.hear_port(&port(11, ("node-b", 4)));
    let network = only(facts);
    assert_eq!((network.ports.len(), network.remotes.len()), (1, 1));
}

#[test]
fn decide_a_port_that_moves_away_is_reached_where_it_went() {
    let mut facts = facts();
    facts.age(&here());
    facts.hear_port(&port(10, ("node-b", 2)));
    let network = only(facts);
    assert_eq!((network.ports.len(), network.remotes.len()), (0, 2));
}

#[test]
fn decide_a_node_without_an_underlay_is_not_reached_until_it_has_one() {
    let mut facts = facts();
    facts.hear_port(&port(12, ("node-c", 1)));
    facts.hear_hypervisor(&hypervisor("node-c", None));
    assert_eq!(only(facts.clone()).remotes.len(), 1);
    facts.hear_hypervisor(&hypervisor("node-c", Some("192.0.2.3")));
    assert_eq!(only(facts.clone()).remotes.len(), 2);
    // One that says nothing of it any more keeps what it said.
    facts.hear_hypervisor(&hypervisor("node-c", None));
    assert_eq!(only(facts).remotes.len(), 2);
}

#[test]
fn decide_a_network_that_is_not_known_is_not_hosted_yet() {
    let mut facts = facts();
    facts.networks.clear();
    assert_eq!(hosted(facts.clone()), []);
    facts.hear_network(&changed_network(|network| network["status"] = json!({"vni": 5001})));
    assert_eq!(hosted(facts.clone()), []);
    facts.hear_network(&changed_network(|_| ()));
    assert_eq!(only(facts).ports.len(), 1);
}

#[test]
fn decide_a_terminating_port_elsewhere_is_reached_until_it_is_gone() {
    let mut facts = facts();
    facts.hear_port(&terminating_port(11, ("node-b", 1)));
    assert_eq!(only(facts).remotes.len(), 1);
}

#[test]
fn decide_a_port_of_another_vni_is_not_of_the_network() {
    let mut facts = facts();
    facts.hear_port(&changed_port(11, ("node-b", 1), |port| port["spec"]["vni"] = json!(5002)));
    assert_eq!(only(facts).remotes, []);
}

#[test]
fn decide_without_a_gateway_dhcp_answers_from_a_link_local_address() {
    let mut facts = facts();
    facts.hear_network(&changed_network(|network| {
        network["spec"]["subnets"][0] = json!({"name": "v4", "cidr": "10.20.0.0/16"});
    }));
    let lease = only(facts).ports.remove(0).lease.unwrap();
    assert_eq!((lease.prefix, lease.router, lease.dns), (16, None, vec![]));
    assert_eq!(lease.server, Ipv4Addr::new(169, 254, 1, 1));
}

#[test]
fn decide_a_port_without_an_address_of_a_subnet_has_no_lease() {
    let mut bare = facts();
    bare.hear_port(&changed_port(10, ("node-a", 1), |port| port["spec"]["addresses"] = json!([])));
    assert_eq!(only(bare).ports[0].lease, None);
    let mut flat = facts();
    flat.hear_network(&changed_network(|network| network["spec"] = json!({})));
    assert_eq!(only(flat).ports[0].lease, None);
}

#[test]
fn decide_older_ports_come_first() {
    let mut facts = facts();
    facts.hear_port(&port(9, ("node-a", 1)));
    facts.hear_port(&changed_port(8, ("node-a", 1), |port| {
        port["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
    }));
    let order: Vec<Uid> = only(facts).ports.into_iter().map(|port| port.uid).collect();
    assert_eq!(order, [uid(9), uid(10), uid(8)]);
}
