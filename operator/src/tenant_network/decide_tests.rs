use std::sync::Arc;

use serde_json::{Value, json};
use suigen_crds::condition::Status;
use suigen_crds::tenant_network::TenantNetwork;

use super::*;
use crate::fixtures::{all, deleted, network, segment};
use crate::tenant_network::allocate::VniRange;
use crate::tenant_network::observe::Left;

fn vni(number: u32) -> Vni {
    number.try_into().unwrap()
}

/// A look at a network of two hypervisors, one with the larger packets.
fn observed(with: Value) -> Observed {
    let network: TenantNetwork = network(with);
    let to_go = network.metadata.deletion_timestamp.is_some();
    Observed {
        uid: network.metadata.uid.clone().unwrap().try_into().unwrap(),
        deletion: if to_go { Deletion::Wanted } else { Deletion::No },
        segment: Segment::None,
        free: Some(vni(5000)),
        range: VniRange::new(4096, 8191).unwrap(),
        carries: vec![("node-a".into(), 1450), ("node-b".into(), 8950)],
        ports: 0,
        free_addresses: Some(253),
        left: Left::default(),
        network: Arc::new(network),
    }
}

fn ready_reason(plan: &Plan) -> (Status, &'static str, bool) {
    let find = |type_| plan.findings.iter().find(|finding| finding.type_ == type_).unwrap();
    (find("Ready").status, find("Ready").reason, find("Stalled").status == Status::True)
}

fn message(plan: &Plan) -> &str {
    &plan.findings.iter().find(|finding| finding.type_ == "Ready").unwrap().message
}

#[test]
fn decide_a_network_is_given_a_vni_and_the_mtu_that_all_carry() {
    let said = plan(&observed(json!({"metadata": {"finalizers": []}})));
    assert_eq!(said.finalizer, Finalizer::Add);
    assert_eq!(said.claim, Some(vni(5000)));
    assert_eq!(said.give, Some(Given { vni: vni(5000), mtu: 1450 }));
    assert_eq!(ready_reason(&said), (Status::True, "Resolved", false));
    assert_eq!(message(&said), "VNI 5000, packets of up to 1450 bytes");
}

#[test]
fn decide_a_crash_between_two_writes_leads_to_the_same_end() {
    let given = Given { vni: vni(4711), mtu: 1450 };
    let with = json!({"status": {"vni": 4711, "mtu": 1450}});
    let cases = [
        (json!({}), Segment::Ours(vni(4711)), None, Some(given), "segment made, not given"),
        (with.clone(), Segment::Ours(vni(4711)), None, None, "given"),
        (with.clone(), Segment::Awaited(vni(4711)), None, None, "given, store behind"),
        (with, Segment::None, Some(vni(4711)), None, "given, segment lost"),
        (json!({"status": {"vni": 4711}}), Segment::Ours(vni(4711)), None, Some(given), "half"),
    ];
    for (with, segment, claim, give, what) in cases {
        let look = Observed { segment, free: Some(vni(4711)), ..observed(with) };
        let said = plan(&look);
        assert_eq!((said.claim, said.give), (claim, give), "{what}");
        assert_eq!(ready_reason(&said), (Status::True, "Resolved", false), "{what}");
    }
}

#[test]
fn decide_mtu_over_what_hypervisors_carry() {
    let ask = |mtu: Option<i32>| mtu.map_or(json!({}), |mtu| json!({"spec": {"mtu": mtu}}));
    let both = || vec![("node-a".to_owned(), 1450), ("node-b".to_owned(), 8950)];
    let cases = [
        (None, both(), Ok(1450)),
        (Some(1400), both(), Ok(1400)),
        (Some(8950), both(), Ok(8950)),
        (Some(8951), both(), Err("MtuDoesNotFit")),
        (None, vec![("node-a".to_owned(), 500), ("node-b".to_owned(), 1450)], Ok(1450)),
        (None, vec![("node-a".to_owned(), 500)], Err("MtuDoesNotFit")),
        (None, vec![], Err("NoUnderlay")),
        (Some(1400), vec![], Err("NoUnderlay")),
    ];
    for (mtu, carries, wanted) in cases {
        let look = Observed { carries: carries.clone(), ..observed(ask(mtu)) };
        let said = plan(&look);
        match wanted {
            Ok(mtu) => assert_eq!(said.give.map(|given| given.mtu), Some(mtu)),
            Err(reason) => {
                let stalled = reason == "MtuDoesNotFit";
                assert_eq!(ready_reason(&said), (Status::False, reason, stalled));
                assert_eq!((said.claim, said.give), (None, None), "no VNI is taken in vain");
            }
        }
        // What is resolved stays, whatever hypervisors carry by then.
        let with = all([ask(mtu), json!({"status": {"vni": 4711, "mtu": 1450}})]);
        let later = Observed { carries, segment: Segment::Ours(vni(4711)), ..observed(with) };
        assert_eq!(ready_reason(&plan(&later)).1, "Resolved");
    }
    let said = plan(&observed(ask(Some(9000))));
    assert!(message(&said).contains("node-a (at most 1450) and node-b (at most 8950)"));
}

#[test]
fn decide_what_a_person_must_mend() {
    let gateway = |address: &str| json!({"spec": {"subnets": [{"name": "v4", "cidr": "10.20.0.0/24", "gateway": address}]}});
    let known = || json!({"status": {"vni": 4711, "mtu": 1450}});
    let foreign = || Segment::Foreign("zoo/red".into());
    let looks = [
        (observed(gateway("10.20.0.0")), "GatewayIsReserved"),
        (observed(gateway("10.20.0.255")), "GatewayIsReserved"),
        (Observed { free: None, ..observed(json!({})) }, "VniRangeExhausted"),
        (Observed { segment: foreign(), ..observed(known()) }, "VniTakenByAnother"),
        (
            Observed { segment: Segment::Unreadable("e".into()), ..observed(known()) },
            "NetworkSegmentUnreadable",
        ),
    ];
    for (look, reason) in looks {
        let said = plan(&look);
        assert_eq!(ready_reason(&said), (Status::False, reason, true));
        assert_eq!((said.claim, said.give), (None, None), "{reason}");
    }
    let exhausted = plan(&Observed { free: None, ..observed(json!({})) });
    assert!(message(&exhausted).contains("from 4096 to 8191"), "{}", message(&exhausted));
}

#[test]
fn decide_a_network_goes_when_nobody_is_in_it() {
    let gone = || json!({"status": {"vni": 5000, "mtu": 1450}});
    let mut look = observed(all([gone(), deleted()]));
    look.left.servers = vec!["a".into(), "b".into(), "c".into(), "d".into()];
    look.segment = Segment::Ours(vni(5000));
    let waits = plan(&look);
    assert_eq!(waits.finalizer, Finalizer::Keep);
    assert_eq!(ready_reason(&waits), (Status::False, "PortsRemain", false));
    assert!(message(&waits).ends_with("delete a, b, c and 1 more"), "{}", message(&waits));

    look.left = Left { servers: vec![], segments: vec![segment(json!({}))] };
    let goes = plan(&look);
    assert_eq!((goes.finalizer, goes.release.len()), (Finalizer::Lift, 1));
    look.left.segments.clear();
    let after_crash = plan(&look);
    assert_eq!((after_crash.finalizer, after_crash.release.len()), (Finalizer::Lift, 0));

    look.deletion = Deletion::CrdTerminating;
    let kept = plan(&look);
    assert_eq!((kept.finalizer, kept.release.len()), (Finalizer::Keep, 0));
    assert_eq!(ready_reason(&kept), (Status::Unknown, "CrdTerminating", true));
}
