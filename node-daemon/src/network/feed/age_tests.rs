use super::*;
use crate::network::feed::fixtures::{NETWORK, facts, node, port, terminating_port, uid};

fn here(second: i64) -> Here {
    Here {
        node: node("node-a"),
        residents: Some(BTreeSet::new()),
        releasing: BTreeMap::new(),
        now: Timestamp::from_second(1_000_000 + second).unwrap(),
    }
}

fn aged(mut facts: Facts, here: &Here) -> Facts {
    facts.age(here);
    facts
}

fn hosting(facts: &Facts) -> Option<&Hosting> {
    facts.networks.get(&uid(NETWORK)).map(|network| &network.hosting)
}

/// The network's only port here has moved away.
fn left() -> Facts {
    let mut facts = aged(facts(), &here(0));
    facts.hear_port(&port(10, ("node-b", 2)));
    aged(facts, &here(0))
}

#[test]
fn decide_a_network_is_hosted_while_a_port_of_it_is_here() {
    let hosted = aged(facts(), &here(0));
    assert_eq!(hosting(&hosted), Some(&Hosting::Yes));
    // A long time changes nothing.
    assert_eq!(hosting(&aged(hosted, &here(1_000_000))), Some(&Hosting::Yes));
}

#[test]
fn decide_a_network_stays_for_a_while_after_its_last_port_left() {
    let left = left();
    assert_eq!(hosting(&left), Some(&Hosting::Left(Time(here(0).now))));
    assert_eq!(left.next_end(), Some(here(120).now));
    let later = aged(left, &here(119));
    assert_eq!(hosting(&later), Some(&Hosting::Left(Time(here(0).now))));
    assert!(later.namespaces(&node("node-a")).contains("acme"));
    let ended = aged(later, &here(120));
    assert_eq!(hosting(&ended), None);
    assert!(ended.ports.is_empty(), "{ended:?}");
}

#[test]
fn decide_a_port_that_comes_back_within_that_time_finds_its_network() {
    let mut back = left();
    back.hear_port(&port(10, ("node-a", 3)));
    let back = aged(back, &here(60));
    assert_eq!(hosting(&back), Some(&Hosting::Yes));
    assert_eq!(back.next_end(), None);
}

#[test]
fn decide_a_released_network_goes_at_once_unless_a_port_of_it_is_here() {
    let vni = Vni::try_from(5001).unwrap();
    let released = Here { releasing: [(uid(NETWORK), vni)].into(), ..here(1) };
    assert_eq!(hosting(&aged(left(), &released)), None);
    assert_eq!(hosting(&aged(facts(), &released)), Some(&Hosting::Yes));
    // The same network under another VNI is not what is released.
    let other = Here { releasing: [(uid(NETWORK), Vni::try_from(7).unwrap())].into(), ..here(1) };
    assert!(matches!(hosting(&aged(left(), &other)), Some(Hosting::Left(_))));
}

#[test]
fn decide_a_terminating_port_waits_for_its_process() {
    let lives = |residents: Option<BTreeSet<Uid>>| {
        let mut facts = facts();
        facts.hear_port(&terminating_port(10, ("node-a", 1)));
        assert!(facts.waits_for_processes(&node("node-a")));
        let facts = aged(facts, &Here { residents, ..here(0) });
        facts.ports[&uid(10)].presence
    };
    assert_eq!(lives(Some([uid(0x8a)].into())), Presence::Terminating);
    // Nobody could look.
    assert_eq!(lives(None), Presence::Terminating);
    assert_eq!(lives(Some([uid(0x8b)].into())), Presence::Removed);
}

#[test]
fn decide_what_was_given_up_is_not_taken_again() {
    let mut facts = facts();
    facts.hear_port(&terminating_port(10, ("node-a", 1)));
    let mut facts = aged(facts, &here(0));
    facts.hear_port(&terminating_port(10, ("node-a", 1)));
    facts.hear_port(&port(10, ("node-a", 1)));
    let facts = aged(facts, &Here { residents: None, ..here(1) });
    assert_eq!(facts.ports[&uid(10)].presence, Presence::Removed);
    assert!(!here(0).has(&facts.ports[&uid(10)]));
}

#[test]
fn decide_a_port_without_an_object_stays_while_its_guest_runs() {
    let mut facts = facts();
    facts.hear_no_port(&uid(10));
    let with = Here { residents: Some([uid(0x8a)].into()), ..here(0) };
    let facts = aged(facts, &with);
    assert!(with.has(&facts.ports[&uid(10)]));
    assert_eq!(hosting(&facts), Some(&Hosting::Yes));
    let facts = aged(facts, &here(1));
    assert!(!facts.ports.contains_key(&uid(10)));
    assert!(matches!(hosting(&facts), Some(Hosting::Left(_))));
}
