use std::fmt::Write as _;

use super::super::desired::{Class, Desired};
use super::super::fixtures::{HERE, desired, network, port, remote};
use super::*;

/// The state that carrying out a plan leaves behind.
fn settled(desired: &Desired) -> Observed {
    let topology = Topology::of(desired);
    Observed { topology, rules: ObservedRules::Intact, ..Observed::default() }
}

fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for op in &plan.ops {
        let line = match op {
            Op::Rules { batch } if batch.contains("chain") => "rules: all anew".to_owned(),
            Op::Rules { batch } => format!("rules: {}", batch.trim_end().replace('\n', "; ")),
            Op::DeleteLink { name } => format!("delete {name}"),
            Op::CreateLink { name, .. } => format!("create {name}"),
            Op::SetOwner { name, owner } => format!("{name} to user {owner}"),
            Op::Configure { name, link } => match &link.port {
                Some(port) => format!("configure {name} in {}", port.bridge),
                None => format!("configure {name}"),
            },
            Op::RemoveBridgeEntry { mac, link, .. } => format!("forget {mac} at {link}"),
            Op::SetBridgeEntry { mac, entry, .. } => {
                format!("{mac} is at {} ({:?})", entry.link, entry.origin)
            }
            Op::RemoveTunnel { mac, vtep, .. } => format!("no tunnel of {mac} to {vtep}"),
            Op::SetTunnel { mac, vtep, .. } => format!("tunnel of {mac} to {vtep}"),
            Op::RemoveFlood { vni, vtep } => format!("no flood of {vni} to {vtep}"),
            Op::AddFlood { vni, vtep } => format!("flood of {vni} to {vtep}"),
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

fn change(from: &Desired, to: &Desired) -> String {
    told(&plan(&settled(from), &Topology::of(to)))
}

#[test]
fn decide_a_first_network_on_a_bare_node() {
    let wanted = Topology::of(&desired(vec![network(5001, "1a2b3c4d")]));
    insta::assert_snapshot!(told(&plan(&Observed::default(), &wanted)), @r"
    rules: all anew
    create sg-5001
    create st-1a2b3c4d
    create sx-5001
    configure sg-5001
    configure st-1a2b3c4d in sg-5001
    configure sx-5001 in sg-5001
    tunnel of 02:00:00:00:00:0b to 192.0.2.2
    tunnel of 02:00:00:00:00:0c to 192.0.2.3
    flood of 5001 to 192.0.2.2
    flood of 5001 to 192.0.2.3
    02:00:00:00:00:0a is at st-1a2b3c4d (Bound)
    02:00:00:00:00:0b is at sx-5001 (Told)
    02:00:00:00:00:0c is at sx-5001 (Told)
    ");
}

#[test]
fn decide_nothing_where_all_is_as_it_should_be() {
    let both = desired(vec![network(5001, "1a2b3c4d"), network(5002, "5e6f7a8b")]);
    assert_eq!(change(&both, &both), "");
}

#[test]
fn decide_the_last_port_takes_its_network_along() {
    let both = desired(vec![network(5001, "1a2b3c4d"), network(5002, "5e6f7a8b")]);
    let one = desired(vec![network(5001, "1a2b3c4d")]);
    insta::assert_snapshot!(change(&both, &one), @r"
    rules: delete element bridge suigen port_ipv4 { st-5e6f7a8b . 10.0.0.10 }; delete element bridge suigen port_mac { st-5e6f7a8b . 02:00:00:00:00:0a }
    delete sg-5002
    delete st-5e6f7a8b
    delete sx-5002
    ");
}

#[test]
fn decide_a_moved_address_is_re_pointed_in_place() {
    let mut moved = network(5001, "1a2b3c4d");
    moved.remotes = vec![remote(11, 3), remote(12, 3)];
    let before = desired(vec![network(5001, "1a2b3c4d")]);
    insta::assert_snapshot!(change(&before, &desired(vec![moved])), @r"
    tunnel of 02:00:00:00:00:0b to 192.0.2.3
    no flood of 5001 to 192.0.2.2
    ");
}

#[test]
fn decide_a_port_that_arrives_here_is_let_in_before_it_is_bound() {
    let mut arrived = network(5001, "1a2b3c4d");
    arrived.remotes = vec![remote(12, 3)];
    arrived.ports.push(port("9c0d1e2f", 11));
    let before = desired(vec![network(5001, "1a2b3c4d")]);
    insta::assert_snapshot!(change(&before, &desired(vec![arrived])), @r"
    rules: add element bridge suigen port_ipv4 { st-9c0d1e2f . 10.0.0.11 }; add element bridge suigen port_mac { st-9c0d1e2f . 02:00:00:00:00:0b }
    create st-9c0d1e2f
    configure st-9c0d1e2f in sg-5001
    02:00:00:00:00:0b is at st-9c0d1e2f (Bound)
    no tunnel of 02:00:00:00:00:0b to 192.0.2.2
    no flood of 5001 to 192.0.2.2
    ");
}

#[test]
fn decide_another_underlay_address_needs_new_tunnels_only() {
    let before = settled(&desired(vec![network(5001, "1a2b3c4d")]));
    let mut elsewhere = HERE;
    elsewhere.address = "192.0.2.9".parse().unwrap();
    let (after, _) = Desired::admit(elsewhere, vec![network(5001, "1a2b3c4d")]);
    insta::assert_snapshot!(told(&plan(&before, &Topology::of(&after))), @r"
    delete sx-5001
    create sx-5001
    configure sx-5001 in sg-5001
    tunnel of 02:00:00:00:00:0b to 192.0.2.2
    tunnel of 02:00:00:00:00:0c to 192.0.2.3
    flood of 5001 to 192.0.2.2
    flood of 5001 to 192.0.2.3
    02:00:00:00:00:0b is at sx-5001 (Told)
    02:00:00:00:00:0c is at sx-5001 (Told)
    ");
}

#[test]
fn decide_a_class_an_address_and_an_owner_change_alone() {
    let mut changed = network(5001, "1a2b3c4d");
    changed.ports[0].class = Some(Class { major: 1, minor: 0x10 });
    changed.ports[0].addresses = ["10.0.0.77".parse().unwrap()].into();
    changed.ports[0].owner = 41_000;
    let before = desired(vec![network(5001, "1a2b3c4d")]);
    insta::assert_snapshot!(change(&before, &desired(vec![changed])), @r"
    rules: add element bridge suigen port_class { st-1a2b3c4d : 1:10 }; delete element bridge suigen port_ipv4 { st-1a2b3c4d . 10.0.0.10 }; add element bridge suigen port_ipv4 { st-1a2b3c4d . 10.0.0.77 }
    st-1a2b3c4d to user 41000
    ");
}

#[test]
fn decide_altered_rules_are_replaced_whole() {
    let both = desired(vec![network(5001, "1a2b3c4d")]);
    let mut observed = settled(&both);
    observed.rules = ObservedRules::Altered;
    assert_eq!(told(&plan(&observed, &Topology::of(&both))), "rules: all anew\n");
}

#[test]
fn decide_a_foreign_link_is_named_and_not_touched() {
    let wanted = Topology::of(&desired(vec![network(5001, "1a2b3c4d")]));
    let mut observed = Observed::default();
    observed.foreign.insert(LinkName::observed("sg-5001".to_owned()));
    observed.foreign.insert(LinkName::observed("lo".to_owned()));
    let plan = plan(&observed, &wanted);
    assert_eq!(plan.foreign.len(), 1);
    assert!(!told(&plan).contains("sg-5001\n") || !told(&plan).contains("create sg-5001"));
}

#[test]
fn decide_an_address_moves_to_the_tunnel_before_its_tap_goes() {
    let mut before = network(5001, "1a2b3c4d");
    before.ports.push(port("5e6f7a8b", 20));
    let mut after = network(5001, "1a2b3c4d");
    after.remotes.push(remote(20, 2));
    insta::assert_snapshot!(change(&desired(vec![before]), &desired(vec![after])), @r"
    rules: delete element bridge suigen port_ipv4 { st-5e6f7a8b . 10.0.0.20 }; delete element bridge suigen port_mac { st-5e6f7a8b . 02:00:00:00:00:14 }
    tunnel of 02:00:00:00:00:14 to 192.0.2.2
    02:00:00:00:00:14 is at sx-5001 (Told)
    delete st-5e6f7a8b
    ");
}

#[test]
fn decide_an_address_moves_to_a_tap_in_one_step() {
    let mut before = network(5001, "1a2b3c4d");
    before.remotes.push(remote(20, 2));
    let mut after = network(5001, "1a2b3c4d");
    after.ports.push(port("5e6f7a8b", 20));
    insta::assert_snapshot!(change(&desired(vec![before]), &desired(vec![after])), @r"
    rules: add element bridge suigen port_ipv4 { st-5e6f7a8b . 10.0.0.20 }; add element bridge suigen port_mac { st-5e6f7a8b . 02:00:00:00:00:14 }
    create st-5e6f7a8b
    configure st-5e6f7a8b in sg-5001
    02:00:00:00:00:14 is at st-5e6f7a8b (Bound)
    no tunnel of 02:00:00:00:00:14 to 192.0.2.2
    ");
}

#[test]
fn decide_an_entry_that_was_moved_in_place_is_as_it_should_be() {
    let wanted = desired(vec![network(5001, "1a2b3c4d")]);
    let mut observed = settled(&wanted);
    let origins = |observed: &mut Observed, origin| {
        observed.topology.fdb.bridge.values_mut().for_each(|entry| entry.origin = origin);
    };
    origins(&mut observed, Origin::Told);
    assert_eq!(told(&plan(&observed, &Topology::of(&wanted))), "");
    origins(&mut observed, Origin::Foreign);
    assert_eq!(told(&plan(&observed, &Topology::of(&wanted))).lines().count(), 3);
}

#[test]
fn decide_the_whole_batch_of_rules_reads_as_reviewed() {
    let mut classed = network(5001, "1a2b3c4d");
    classed.ports[0].class = Some(Class { major: 1, minor: 0x10 });
    let wanted = Topology::of(&desired(vec![classed]));
    insta::assert_snapshot!(rules::replace_all(&wanted.elements));
}
