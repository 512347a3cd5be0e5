use jiff::Timestamp;
use serde_json::{Value, json};
use suigen_crds::network_port::PortState;

use super::*;
use crate::network::feed::age::Here;
use crate::network::feed::fixtures::{
    NETWORK, changed_port, facts, hypervisor, network, node, port, terminating_port, uid,
};
use crate::network::feed::handle::Standing;
use crate::network::ident::LinkName;
use crate::report::runtime::Trouble;

fn object<K>(object: K) -> Seen<K> {
    Seen::Object(Box::new(object))
}

fn left<K>(n: u8) -> Seen<K> {
    Seen::Left { uid: Some(uid(n).to_string()) }
}

fn here() -> Here {
    Here {
        node: node("node-a"),
        residents: Some(BTreeSet::new()),
        releasing: BTreeMap::new(),
        now: Timestamp::UNIX_EPOCH,
    }
}

fn list<K>(feed: &mut Feed, objects: Vec<K>, input: impl Fn(Seen<K>) -> Input) {
    feed.take(input(Seen::Listing));
    for object in objects {
        feed.take(input(Seen::Object(Box::new(object))));
    }
    feed.take(input(Seen::Listed));
}

fn port_of(seen: Seen<NetworkPort>) -> Input {
    Input::Port("acme".into(), seen)
}

fn network_of(seen: Seen<TenantNetwork>) -> Input {
    Input::Network("acme".into(), seen)
}

/// Everything listed: a port here, one on another node.
fn listed() -> Feed {
    let mut feed = Feed::new(node("node-a"), Facts::default());
    list(&mut feed, vec![port(10, ("node-a", 1))], Input::Mine);
    list(&mut feed, vec![hypervisor("node-b", Some("192.0.2.2"))], Input::Hypervisor);
    let ports = vec![port(10, ("node-a", 1)), port(11, ("node-b", 1))];
    list(&mut feed, ports, port_of);
    list(&mut feed, vec![network()], network_of);
    feed.facts.age(&here());
    feed
}

fn asks(feed: &Feed) -> Asks {
    feed.asks(&BTreeMap::new(), &View::default())
}

#[test]
fn decide_nothing_is_complete_before_every_list_is() {
    let mut feed = Feed::new(node("node-a"), Facts::default());
    assert!(!feed.is_complete());
    list(&mut feed, vec![port(10, ("node-a", 1))], Input::Mine);
    list(&mut feed, vec![], Input::Hypervisor);
    assert!(!feed.is_complete());
    assert_eq!(asks(&feed).namespaces, ["acme".to_owned()].into());
    list(&mut feed, vec![port(10, ("node-a", 1))], port_of);
    assert!(!feed.is_complete());
    list(&mut feed, vec![network()], network_of);
    assert!(feed.is_complete());
}

#[test]
fn decide_a_node_that_hosts_nothing_is_complete_and_watches_no_namespace() {
    let mut feed = Feed::new(node("node-a"), Facts::default());
    list(&mut feed, vec![], Input::Mine);
    list(&mut feed, vec![], Input::Hypervisor);
    assert!(feed.is_complete());
    assert_eq!(asks(&feed), Asks::default());
}

#[test]
fn decide_a_port_that_is_not_listed_is_asked_for_by_name() {
    let mut feed = Feed::new(node("node-a"), facts());
    // Before the list is complete nothing is known of it.
    feed.take(Input::Mine(Seen::Listing));
    assert!(asks(&feed).confirm.is_empty());
    feed.take(Input::Mine(Seen::Listed));
    let confirm = asks(&feed).confirm;
    let named = Named { namespace: "acme".into(), name: "web-10.eth0".into() };
    assert_eq!(confirm, [(uid(10), named)].into());
    assert!(feed.facts.ports.contains_key(&uid(10)));
    feed.take(Input::Confirmed(uid(10), None));
    feed.facts.age(&here());
    assert!(!feed.facts.ports.contains_key(&uid(10)));
    assert!(asks(&feed).confirm.is_empty());
}

#[test]
fn decide_a_port_that_left_the_watch_is_asked_for_by_name_too() {
    let mut feed = listed();
    feed.take(Input::Mine(left(10)));
    // The other watch still names it.
    assert!(asks(&feed).confirm.is_empty());
    feed.take(port_of(left(10)));
    assert_eq!(asks(&feed).confirm.len(), 1);
    assert!(feed.facts.ports.contains_key(&uid(10)));
}

#[test]
fn decide_a_port_that_turns_out_to_be_elsewhere_is_no_longer_here() {
    let mut feed = Feed::new(node("node-a"), facts());
    list(&mut feed, vec![], Input::Mine);
    let moved = Box::new(port(10, ("node-b", 2)));
    feed.take(Input::Confirmed(uid(10), Some(moved)));
    assert!(!feed.facts.ports[&uid(10)].is_bound_to(&node("node-a")));
    assert!(asks(&feed).confirm.is_empty());
}

#[test]
fn decide_another_port_under_the_name_is_not_the_one_that_was_meant() {
    let mut feed = Feed::new(node("node-a"), facts());
    list(&mut feed, vec![], Input::Mine);
    let other = changed_port(10, ("node-a", 1), |port| port["metadata"]["uid"] = json!(uid(99)));
    feed.take(Input::Confirmed(uid(10), Some(Box::new(other))));
    assert_eq!(feed.facts.ports[&uid(10)].presence, Presence::Gone);
}

#[test]
fn decide_a_port_elsewhere_goes_when_it_is_not_listed_any_more() {
    let mut feed = listed();
    feed.take(port_of(Seen::Listing));
    feed.take(port_of(object(port(10, ("node-a", 1)))));
    assert!(feed.facts.ports.contains_key(&uid(11)));
    feed.take(port_of(Seen::Listed));
    assert!(!feed.facts.ports.contains_key(&uid(11)));
    assert!(feed.facts.ports.contains_key(&uid(10)));
}

#[test]
fn decide_a_missing_or_unreadable_network_leaves_what_was_known() {
    let mut feed = listed();
    feed.take(network_of(left(NETWORK)));
    list(&mut feed, vec![], network_of);
    assert!(feed.facts.networks.contains_key(&uid(NETWORK)));
    feed.take(port_of(Seen::Listing));
    for n in [10, 11] {
        feed.take(port_of(Seen::Malformed { uid: Some(uid(n).to_string()) }));
    }
    feed.take(port_of(Seen::Listed));
    assert_eq!(feed.facts.ports.len(), 2);
}

/// What the data plane said, with these links.
fn view(certain: bool, links: &[LinkName]) -> View {
    View { certain, links: links.iter().cloned().collect(), faults: Vec::new() }
}

#[test]
fn decide_a_removed_port_is_reported_once_the_kernel_has_nothing_of_it() {
    let mut feed = listed();
    feed.take(Input::Mine(object(terminating_port(10, ("node-a", 1)))));
    feed.facts.age(&here());
    let said = |feed: &Feed, view: &View| feed.asks(&BTreeMap::new(), view).reports;
    let tap = LinkName::tap(&uid(10));
    assert!(feed.wants_certainty());
    assert!(said(&feed, &view(false, &[])).is_empty());
    assert!(said(&feed, &view(true, &[tap])).is_empty());
    let reports = said(&feed, &view(true, &[]));
    let (named, status) = &reports[&uid(10)];
    assert_eq!(named.name, "web-10.eth0");
    assert_eq!(status.state, Some(PortState::Removed));
    // Once the API has it, there is nothing to say.
    let stored = changed_port(10, ("node-a", 1), |port| {
        port["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
        port["status"] = json!(status);
    });
    feed.take(Input::Mine(object(stored)));
    assert!(said(&feed, &view(true, &[])).is_empty());
}

#[test]
fn decide_trouble_of_a_port_is_reported() {
    let feed = listed();
    let trouble = Some(Trouble::new("NftRefused", "no"));
    let judged = Judged { standing: Standing::Ready, trouble };
    let asks = feed.asks(&[(uid(10), judged)].into(), &View::default());
    assert_eq!(asks.reports[&uid(10)].1.state, Some(PortState::Failed));
    let well = Judged { standing: Standing::Ready, trouble: None };
    assert!(feed.asks(&[(uid(10), well)].into(), &View::default()).reports.is_empty());
}

fn segment(change: impl Fn(&mut Value)) -> NetworkSegment {
    let mut object = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "NetworkSegment",
        "metadata": {"name": "vni-5001", "uid": uid(0x50)},
        "spec": {"vni": 5001,
            "network": {"namespace": "acme", "name": "web", "uid": uid(NETWORK)}},
        "status": {"phase": "Releasing", "hosts": ["node-a", "node-b"],
            "releasedAt": "2026-01-01T00:00:00Z", "tornDown": [{"nodeName": "node-b"}]},
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

/// A node that hosts nothing hears of a segment.
fn hears_of(segment: NetworkSegment) -> Feed {
    let mut feed = Feed::new(node("node-a"), Facts::default());
    list(&mut feed, vec![], Input::Mine);
    list(&mut feed, vec![segment], Input::Segment);
    feed
}

#[test]
fn decide_a_released_network_is_torn_down_when_the_kernel_has_nothing_of_it() {
    let torn_down =
        |feed: &Feed, view: &View| feed.asks(&BTreeMap::new(), view).torn_down.into_values().next();
    let vni = Vni::try_from(5001).unwrap();
    let feed = hears_of(segment(|_| ()));
    assert_eq!(feed.releasing(), [(uid(NETWORK), vni)].into());
    assert_eq!(torn_down(&feed, &view(true, &[])).as_deref(), Some("vni-5001"));
    assert_eq!(torn_down(&feed, &view(false, &[])), None);
    for link in [LinkName::bridge(vni), LinkName::vxlan(vni)] {
        assert_eq!(torn_down(&feed, &view(true, &[link])), None);
    }
    let said =
        |segment: &mut Value| segment["status"]["tornDown"] = json!([{"nodeName": "node-a"}]);
    assert_eq!(torn_down(&hears_of(segment(said)), &view(true, &[])), None);
    let elsewhere = |segment: &mut Value| segment["status"]["hosts"] = json!(["node-b"]);
    assert_eq!(torn_down(&hears_of(segment(elsewhere)), &view(true, &[])), None);
}

#[test]
fn decide_a_released_network_stays_while_a_port_of_it_is_or_may_be_here() {
    let mut feed = listed();
    list(&mut feed, vec![segment(|_| ())], Input::Segment);
    assert!(feed.asks(&BTreeMap::new(), &view(true, &[])).torn_down.is_empty());
    // Which ports are here is not known.
    let mut feed = Feed::new(node("node-a"), Facts::default());
    list(&mut feed, vec![segment(|_| ())], Input::Segment);
    assert!(feed.releasing().is_empty());
    assert!(feed.asks(&BTreeMap::new(), &view(true, &[])).torn_down.is_empty());
}
