//! Rules that every answer keeps, over all that a server can come to.

use jiff::Timestamp;
use serde_json::json;
use suigen_crds::condition::{Status, conclude, find, is_true};

use super::*;
use crate::finalizer::Deletion;
use crate::fixtures::{all, deleted, disk, given, observed, placed, said, server};
use crate::virtual_server::decide::plan;
use crate::virtual_server::interfaces::Interfaces;
use crate::watch::lookup::Lookup;

const STATES: [&str; 11] = [
    "Preparing",
    "Starting",
    "Running",
    "Paused",
    "Stopping",
    "Stopped",
    "Down",
    "QmpUnresponsive",
    "Refused",
    "Released",
    "FutureState",
];

/// Looks at a server in every combination of what matters.
fn looks() -> Vec<Observed> {
    let mut looks = Vec::new();
    for power in ["PoweredOn", "PoweredOff", "Future"] {
        let power = json!({"spec": {"powerState": power}});
        for gone in [json!({}), deleted()] {
            let base = all([power.clone(), gone]);
            looks.push(observed(server(base.clone()), None));
            looks.push(observed(server(base.clone()), Some(disk(json!({})))));
            let mut classless = observed(server(base.clone()), Some(disk(json!({}))));
            classless.class = Lookup::Missing;
            looks.push(classless);
            let mut full = observed(server(base.clone()), Some(disk(json!({}))));
            full.fleet.candidates.clear();
            looks.push(full);
            looks.push(observed(server(all([base.clone(), placed(1)])), Some(disk(json!({})))));
            for state in STATES {
                for volume in ["Creating", "Ready", "Failed", "Deleted", "Future"] {
                    let with = all([base.clone(), placed(1), said(1, state)]);
                    looks.push(observed(server(with), Some(disk(given(1, volume)))));
                }
            }
        }
    }
    let silent = |look: &Observed| Observed { host: Host::Silent, ..look.clone() };
    let behind = |look: &Observed| Observed { behind: true, ..look.clone() };
    let crd = |look: &Observed| Observed { deletion: Deletion::CrdTerminating, ..look.clone() };
    let plain = looks.clone();
    for interfaces in crate::virtual_server::interfaces::model::situations() {
        looks.extend(plain.iter().map(|look| with_interfaces(look, &interfaces)));
    }
    let more: Vec<_> = looks.iter().flat_map(|l| [silent(l), behind(l), crd(l)]).collect();
    looks.extend(more);
    looks
}

/// The same look at a server with one interface, which it has if it is placed.
fn with_interfaces(look: &Observed, interfaces: &Interfaces) -> Observed {
    let mut look = Observed { interfaces: interfaces.clone(), ..look.clone() };
    let server = std::sync::Arc::make_mut(&mut look.server);
    server.spec.network_interfaces =
        interfaces.wanted.iter().map(|wanted| wanted.entry.clone()).collect();
    if let Some(status) = server.status.as_mut().filter(|status| status.placement.is_some()) {
        let given = crate::fixtures::server(crate::virtual_server::interfaces::model::given());
        status.interfaces = given.status.unwrap().interfaces;
    }
    look
}

#[test]
fn every_answer_is_readable_by_kstatus_and_by_people() {
    let types = [
        "Scheduled",
        "DisksReady",
        "InterfacesReady",
        "Running",
        "Ready",
        "Reconciling",
        "Stalled",
    ];
    let looks = looks();
    assert!(looks.len() > 1000);
    for look in looks {
        let words = plan(&look).words;
        let said = conclude(words.findings, &[], Some(7), Timestamp::UNIX_EPOCH);
        let named: Vec<_> = said.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(named, types);
        let (ready, reconciling, stalled) =
            (is_true(&said, "Ready"), is_true(&said, "Reconciling"), is_true(&said, "Stalled"));
        let sum = u8::from(ready) + u8::from(reconciling) + u8::from(stalled);
        assert_eq!(sum, 1, "exactly one of Ready, Reconciling, Stalled: {said:#?}");
        for condition in &said {
            assert!(!condition.message.is_empty(), "{condition:?}");
            assert!(condition.reason.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(condition.reason.chars().all(|c| c.is_ascii_alphanumeric()));
            assert_eq!(condition.observed_generation, Some(7));
        }
        let disks_move = ["CreatingDisk", "DiskNotResolved", "Waiting"].contains(&&*said[1].reason)
            || ["TenantNetworkNotReady", "Waiting"].contains(&&*said[2].reason);
        assert!(!ready || !words.progress || disks_move, "what is reached is said at once");
    }
}

#[test]
fn ready_means_the_desired_state_and_nothing_less() {
    for look in looks() {
        let words = plan(&look).words;
        let said = conclude(words.findings, &[], Some(1), Timestamp::UNIX_EPOCH);
        if !is_true(&said, "Ready") {
            continue;
        }
        assert_eq!(look.deletion, Deletion::No);
        let running = find(&said, "Running").unwrap().status;
        match wants_on(&look) {
            Some(true) => {
                assert_eq!((running, words.phase), (Status::True, ServerPhase::Running));
                assert!(is_true(&said, "InterfacesReady"), "{said:#?}");
            }
            Some(false) => {
                assert_eq!((running, words.phase), (Status::False, ServerPhase::Stopped));
            }
            None => panic!("an unknown desire is never reached"),
        }
    }
}

#[test]
fn a_silent_hypervisor_makes_everything_on_it_unknown() {
    let mut look =
        observed(server(all([placed(1), said(1, "Running")])), Some(disk(given(1, "Ready"))));
    look.host = Host::Silent;
    let words = plan(&look).words;
    assert_eq!(words.phase, ServerPhase::Unknown);
    let running = words.findings.iter().find(|finding| finding.type_ == "Running").unwrap();
    assert_eq!((running.status, running.reason), (Status::Unknown, "HypervisorUnreachable"));
}

#[test]
fn an_older_word_of_the_holder_is_not_believed() {
    let look =
        observed(server(all([placed(2), said(1, "Running")])), Some(disk(given(2, "Ready"))));
    assert_eq!(plan(&look).words.phase, ServerPhase::Preparing);
}

#[test]
fn what_keeps_a_prepared_server_from_starting_is_passed_on() {
    let why = json!({"status": {"runtime":
        {"reason": "UserDataSecretNotFound", "message": "there is no Secret acme/web-init"}}});
    let with = all([placed(1), said(1, "Preparing"), why]);
    let words = plan(&observed(server(with), Some(disk(given(1, "Ready"))))).words;
    assert_eq!(words.phase, ServerPhase::Preparing);
    for condition in ["Running", "Ready"] {
        let found = words.findings.iter().find(|finding| finding.type_ == condition).unwrap();
        assert_eq!(found.reason, "UserDataSecretNotFound", "{condition}");
        assert_eq!(found.message, "there is no Secret acme/web-init", "{condition}");
    }
}

#[test]
fn a_guest_that_powered_itself_off_stays_down_and_says_what_to_do() {
    let off = json!({"status": {"runtime": {"reason": "GuestPoweredOff"}}});
    let never = json!({"spec": {"restartPolicy": "Never"}});
    let with = all([placed(1), said(1, "Stopped"), off, never]);
    let words = plan(&observed(server(with), Some(disk(given(1, "Ready"))))).words;
    let running = words.findings.iter().find(|finding| finding.type_ == "Running").unwrap();
    assert_eq!((words.phase, running.reason), (ServerPhase::Stopped, "GuestPoweredOff"));
    assert!(running.message.contains("Never"), "{}", running.message);
}
