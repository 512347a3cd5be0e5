use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{NETWORK, SERVER, all, segment};
use crate::network_segment::observe::{Host, HostState};

const OTHER: &str = "00000000-0000-4000-8000-0000000000ff";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn port(network: &str, vni: u32) -> Seen {
    let spec = json!({"serverName": "web", "serverUid": SERVER, "networkUid": network, "vni": vni});
    Seen::of("web.eth0".into(), &spec)
}

fn observed(with: Value, missing: &[(&str, HostState)], evidence: Evidence) -> Observed {
    let host = |(name, state): &(&str, HostState)| Host { name: (*name).into(), state: *state };
    Observed {
        segment: Arc::new(segment(with)),
        missing: missing.iter().map(host).collect(),
        evidence,
    }
}

fn releasing() -> Value {
    json!({"status": {"phase": "Releasing", "releasedAt": at(1000), "hosts": ["node-a", "node-b"]}})
}

fn word(plan: &Plan) -> &'static str {
    match plan {
        Plan::Keep { reason, .. } => reason,
        Plan::Release(why) => why,
        Plan::Wait { wait, .. } => wait.reason,
        Plan::Free => "Free",
    }
}

#[test]
fn decide_a_segment_is_released_only_on_the_api_servers_word() {
    let has = |vni: Value| Owner::There(json!({"status": {"vni": vni}}));
    let read = |owner, ports: &[Seen]| Evidence::Read { owner, ports: ports.to_vec() };
    let unreadable = Seen::of("x".into(), &json!(7));
    let cases = [
        (Evidence::Enough, "InUse"),
        (Evidence::Young(Duration::from_secs(5)), "Young"),
        (read(Owner::Doubtful, &[]), "CrdTerminating"),
        (read(Owner::Gone, &[]), "NetworkGone"),
        (read(Owner::Gone, &[port(NETWORK, 5000)]), "PortsRemain"),
        (read(Owner::Gone, std::slice::from_ref(&unreadable)), "PortsRemain"),
        (read(Owner::Gone, &[port(OTHER, 5000), port(NETWORK, 6000)]), "NetworkGone"),
        (read(has(json!(5000)), &[]), "InUse"),
        (read(has(json!(null)), &[]), "InUse"),
        (read(has(json!("5001")), &[]), "InUse"),
        (read(Owner::There(json!(7)), &[]), "InUse"),
        (read(has(json!(5001)), &[]), "NotItsVni"),
        (read(has(json!(5001)), &[port(NETWORK, 5001)]), "NotItsVni"),
        (read(has(json!(5001)), &[port(NETWORK, 5000)]), "PortsRemain"),
        (read(has(json!(5001)), &[unreadable]), "PortsRemain"),
    ];
    let phases =
        [json!({}), json!({"status": {"phase": "InUse"}}), json!({"status": {"phase": "Newer"}})];
    for (evidence, wanted) in cases {
        for phase in &phases[..2] {
            let look = observed(phase.clone(), &[], evidence.clone());
            assert_eq!(word(&plan(&look, at(9999))), wanted, "{evidence:?}");
        }
        let look = observed(phases[2].clone(), &[], evidence);
        assert_eq!(word(&plan(&look, at(9999))), "PhaseNotUnderstood");
    }
}

#[test]
fn decide_a_segment_is_free_only_when_all_confirmed_and_its_time_is_over() {
    let ripe = |ports: &[Seen]| Evidence::Ripe(ports.to_vec());
    let heard: &[_] = &[("node-a", HostState::Heard)];
    let silent: &[_] = &[("node-a", HostState::Heard), ("node-b", HostState::Silent)];
    let none: &[_] = &[("node-b", HostState::Silent), ("node-c", HostState::None)];
    let cases = [
        (1299, &[][..], Evidence::Enough, "Quarantine"),
        (1299, heard, Evidence::Enough, "Quarantine"),
        (1299, silent, Evidence::Enough, "HypervisorSilent"),
        (1299, none, Evidence::Enough, "HypervisorGone"),
        (1299, &[], ripe(&[]), "Quarantine"),
        (1300, &[], Evidence::Enough, "Quarantine"),
        (1300, heard, Evidence::Enough, "NotConfirmed"),
        (1300, heard, ripe(&[]), "NotConfirmed"),
        (9_000_000, silent, Evidence::Enough, "HypervisorSilent"),
        (1300, &[], ripe(&[port(NETWORK, 5000)]), "PortsRemain"),
        (1300, &[], ripe(&[Seen::of("x".into(), &json!([]))]), "PortsRemain"),
        (1300, &[], ripe(&[port(OTHER, 5000)]), "Free"),
        (1300, &[], ripe(&[]), "Free"),
    ];
    for (second, missing, evidence, wanted) in cases {
        let look = observed(releasing(), missing, evidence.clone());
        let said = plan(&look, at(second));
        assert_eq!(word(&said), wanted, "at {second}, {missing:?}, {evidence:?}");
        if let Plan::Wait { wait, .. } = said {
            assert_eq!(wait.held_up, second >= 1300);
        }
    }
}

#[test]
fn decide_what_is_said_changes_in_kind_only() {
    let message = |second, missing: &[(&str, HostState)]| {
        let look = observed(releasing(), missing, Evidence::Enough);
        match plan(&look, at(second)) {
            Plan::Wait { wait, .. } => wait.message,
            other => panic!("{other:?}"),
        }
    };
    let heard = [("node-a", HostState::Heard), ("node-b", HostState::Heard)];
    assert_eq!(message(1000, &heard), message(1299, &heard[1..]));
    assert!(message(1000, &[]).starts_with("free at 1970-01-01T00:21:40Z at the earliest"));
    let silent = [("node-a", HostState::Heard), ("node-b", HostState::Silent)];
    assert_eq!(message(1000, &silent), "waits for node-b, whose daemon was not heard of lately");
}

#[test]
fn decide_a_release_without_its_time_begins_now() {
    let with = json!({"status": {"phase": "Releasing"}});
    let look = observed(with, &[], Evidence::Ripe(vec![]));
    assert_eq!(plan(&look, at(9_000_000)), Plan::Release("Again"));
}

#[test]
fn decide_when_to_look_again() {
    let after = |second, with| match plan(&observed(with, &[], Evidence::Enough), at(second)) {
        Plan::Wait { after, .. } | Plan::Keep { after, .. } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(after(1000, releasing()), AGAIN);
    assert_eq!(after(1290, releasing()).as_secs(), 10);
    assert_eq!(after(1000, all([json!({})])), AGAIN);
}
