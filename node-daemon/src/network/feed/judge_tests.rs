use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::network::feed::fixtures::{NETWORK, facts, node, terminating_port, uid};

fn here() -> Here {
    Here {
        node: node("node-a"),
        residents: Some([uid(0x8a)].into()),
        releasing: BTreeMap::new(),
        now: Timestamp::UNIX_EPOCH,
    }
}

fn vni() -> Vni {
    Vni::try_from(5001).unwrap()
}

/// Everything is there, but for this.
fn view(faults: &[Subject]) -> View {
    let trouble = Trouble::new("TakenBySomebodyElse", "it is taken");
    View {
        certain: true,
        links: [LinkName::tap(&uid(10)), LinkName::bridge(vni()), LinkName::vxlan(vni())].into(),
        faults: faults.iter().map(|subject| (subject.clone(), trouble.clone())).collect(),
    }
}

fn judged_with(mut facts: Facts, refusals: &[Refusal], view: &View) -> Judged {
    facts.age(&here());
    let mut judged = judge(&facts, &here(), refusals, view);
    assert_eq!(judged.len(), 1);
    judged.remove(&uid(10)).unwrap()
}

fn judged(view: &View) -> Judged {
    judged_with(facts(), &[], view)
}

fn word(judged: &Judged) -> (&str, Option<&str>) {
    let standing = match &judged.standing {
        Standing::Ready => "Ready",
        Standing::Pending => "Pending",
        Standing::Failed(trouble) => trouble.reason.as_str(),
    };
    (standing, judged.trouble.as_ref().map(|trouble| trouble.reason.as_str()))
}

#[test]
fn decide_a_port_is_ready_when_its_tap_is_there_and_nothing_failed() {
    assert_eq!(word(&judged(&view(&[]))), ("Ready", None));
    assert_eq!(word(&judged(&View::default())), ("Pending", None));
}

#[test]
fn decide_what_failed_is_said_of_the_ports_that_need_it() {
    let taken = ("TakenBySomebodyElse", Some("TakenBySomebodyElse"));
    for subject in [
        Subject::Rules,
        Subject::Link(LinkName::vxlan(vni())),
        Subject::Link(LinkName::bridge(vni())),
        Subject::Link(LinkName::tap(&uid(10))),
    ] {
        assert_eq!(word(&judged(&view(&[subject]))), taken);
    }
    let other = Vni::try_from(5002).unwrap();
    let others = [Subject::Link(LinkName::vxlan(other)), Subject::Network(other)];
    assert_eq!(word(&judged(&view(&others))), ("Ready", None));
}

#[test]
fn decide_a_far_port_that_is_not_reached_keeps_no_server_from_starting() {
    let judged = judged(&view(&[Subject::Network(vni())]));
    assert_eq!(word(&judged), ("Ready", Some("TakenBySomebodyElse")));
}

#[test]
fn decide_what_was_left_out_is_said_of_the_port_or_of_all_of_the_network() {
    let too_large = Refusal::MtuTooLarge { network: uid(NETWORK), mtu: 1500, underlay: 1500 };
    let judged = judged_with(facts(), &[too_large], &view(&[]));
    assert_eq!(word(&judged), ("MtuTooLarge", Some("MtuTooLarge")));
    let other = Refusal::TapName { port: uid(11), name: LinkName::tap(&uid(11)) };
    assert_eq!(word(&judged_with(facts(), &[other], &view(&[]))), ("Ready", None));
}

#[test]
fn decide_a_port_that_waits_for_its_network_or_for_its_end_is_not_ready() {
    let mut unknown = facts();
    unknown.networks.clear();
    assert_eq!(word(&judged_with(unknown, &[], &view(&[]))), ("Pending", None));
    let mut ending = facts();
    ending.hear_port(&terminating_port(10, ("node-a", 1)));
    assert_eq!(word(&judged_with(ending, &[], &view(&[]))), ("PortTerminating", None));
}

#[test]
fn decide_a_look_that_failed_says_nothing_of_what_is_there() {
    let before = BTreeSet::from([LinkName::tap(&uid(10))]);
    let error = Error::Connect(std::io::ErrorKind::PermissionDenied.into());
    let view = View::of(&Err(error), &before, true);
    assert!(!view.lacks_port(&uid(11)), "nothing is certain");
    assert_eq!(word(&judged(&view)), ("NetlinkUnavailable", Some("NetlinkUnavailable")));
}
