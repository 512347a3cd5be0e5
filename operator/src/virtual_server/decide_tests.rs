//! Scenarios: what is there, and what is to be done and said about it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{all, class, deleted, disk, given, observed, placed, said, server};
use crate::memory::Refusal;
use crate::virtual_server::observe::Host;

/// A plan in the words that a reviewer needs.
fn show(plan: &Plan) -> String {
    let Plan { finalizer, create, place, attach, detach, unpin, delete, words, .. } = plan;
    let mut text = String::new();
    if *finalizer != Finalizer::Keep {
        writeln!(text, "finalizer {finalizer:?}").unwrap();
    }
    for new in create {
        writeln!(text, "create disk {} of {}", new.name, new.spec.size).unwrap();
    }
    if let Some(NewRight { placement, .. }) = place {
        writeln!(text, "place on {} epoch {}", placement.node_name, placement.epoch).unwrap();
    }
    for attach in attach {
        let Attachment { server_epoch, attach_epoch, .. } = &attach.attachment;
        writeln!(text, "attach {} epoch {server_epoch}/{attach_epoch}", attach.disk).unwrap();
    }
    for (verb, names) in [("detach", detach), ("unpin", unpin), ("delete", delete)] {
        names.iter().for_each(|name| writeln!(text, "{verb} {name}").unwrap());
    }
    let ready = words.findings.iter().find(|finding| finding.type_ == "Ready").unwrap();
    write!(text, "{:?}: {}: {}", words.phase, ready.reason, ready.message).unwrap();
    text
}

fn decided(with: Value, disk: Option<Disk>) -> String {
    show(&plan(&observed(server(with), disk)))
}

fn elsewhere() -> Value {
    json!({"status": {"attachment": {"serverName": "other", "serverUid": crate::fixtures::LOG,
        "serverEpoch": 1, "attachEpoch": 1}}})
}

#[test]
fn decide_a_new_server_step_by_step() {
    let new = decided(json!({"metadata": {"finalizers": null}}), None);
    insta::assert_snapshot!(new, @r#"
    finalizer Add
    create disk web-root of 1Gi
    Pending: CreatingDisk: Disk "web-root" is being created
    "#);
    let unresolved = decided(json!({}), Some(disk(json!({"status": {"source": null}}))));
    insta::assert_snapshot!(unresolved, @r#"Pending: DiskNotResolved: Disk "web-root" is being looked at"#);
    let ready = decided(json!({}), Some(disk(json!({}))));
    insta::assert_snapshot!(ready, @r"
    place on node-a epoch 1
    attach web-root epoch 1/1
    Preparing: Preparing: node-a prepares it
    ");
    let cut_off = decided(placed(1), Some(disk(json!({}))));
    insta::assert_snapshot!(cut_off, @r"
    attach web-root epoch 1/1
    Preparing: Preparing: node-a prepares it
    ");
    let making = decided(placed(1), Some(disk(given(1, "Creating"))));
    insta::assert_snapshot!(making, @"Preparing: Preparing: node-a prepares it");
    let up = decided(all([placed(1), said(1, "Running")]), Some(disk(given(1, "Ready"))));
    insta::assert_snapshot!(up, @"Running: GuestRuns: the guest runs on node-a");
}

#[test]
fn decide_what_a_placement_holds() {
    let plan = plan(&observed(server(json!({})), Some(disk(json!({})))));
    let NewRight { placement, amounts, .. } = plan.place.unwrap();
    assert_eq!(placement.class.memory_bytes, 1 << 30);
    assert_eq!(placement.firmware, suigen_crds::server_image::Firmware::Uefi);
    assert_eq!(placement.disks[0].disk_uid.as_str(), crate::fixtures::DISK);
    assert_eq!(amounts.memory_bytes, (1 << 30) + crate::placement::OVERHEAD_BYTES);
    assert_eq!(amounts.disk_bytes, 1 << 30);
}

#[test]
fn decide_what_stands_in_the_way() {
    let mut look = observed(server(json!({})), Some(disk(json!({}))));
    look.class = Lookup::Missing;
    insta::assert_snapshot!(show(&plan(&look)), @r#"Pending: ServerClassNotFound: there is no ServerClass "small": create it, or use another"#);
    look.class = Lookup::Found(Arc::new(class(json!({"spec": {"resourceType": "Reserved"}}))));
    insta::assert_snapshot!(show(&plan(&look)), @r#"Failed: ServerClassNotUnderstood: the resourceType of ServerClass "small" is not known to this release: upgrade Suigen, or use another class"#);
    look.class = Lookup::Unreadable("missing field".into());
    insta::assert_snapshot!(show(&plan(&look)), @r#"Pending: ServerClassUnreadable: ServerClass "small" cannot be read (missing field): correct it"#);

    let foreign = disk(json!({"metadata": {"annotations": {MADE_FOR: "another"}}}));
    insta::assert_snapshot!(decided(json!({}), Some(foreign)), @r#"Failed: DiskNameTaken: Disk "web-root" exists and was not made for this server: delete it, or give it to a server by diskName"#);
    insta::assert_snapshot!(decided(json!({}), Some(disk(elsewhere()))), @r#"Pending: DiskInUse: Disk "web-root" is in use by server other: delete that server, or use another disk"#);
    insta::assert_snapshot!(decided(json!({}), Some(disk(deleted()))), @r#"Failed: DiskIsBeingDeleted: Disk "web-root" is being deleted: use another"#);
    let by_name = json!({"spec": {"disks": [{"name": "root", "diskName": "data"}]}});
    insta::assert_snapshot!(decided(by_name, None), @r#"Pending: DiskNotFound: there is no Disk "data" in this namespace: create it"#);
    let mut twice = observed(server(json!({})), Some(disk(json!({}))));
    twice.disks.push(twice.disks[0].clone());
    insta::assert_snapshot!(show(&plan(&twice)), @r#"Failed: DiskNamedTwice: Disk "web-root" is named twice: name each disk once"#);
    let future = json!({"spec": {"powerState": "Hibernated"}});
    insta::assert_snapshot!(decided(future, Some(disk(json!({})))), @"Failed: PowerStateNotUnderstood: powerState has a value that this release does not know: upgrade Suigen, or use another");
    let off = json!({"spec": {"powerState": "PoweredOff"}});
    insta::assert_snapshot!(decided(off, Some(disk(json!({})))), @"Stopped: PoweredOff: it is off, as desired, and placed when it is powered on");

    let mut promised = observed(server(json!({})), Some(disk(json!({}))));
    promised.disks[0].promised = true;
    insta::assert_snapshot!(show(&plan(&promised)), @r#"Pending: DiskInUse: Disk "web-root" is being given to another server"#);
}

#[test]
fn decide_a_disk_that_is_lost_is_never_made_anew() {
    insta::assert_snapshot!(decided(placed(1), None), @r#"Failed: DiskMissing: Disk "web-root" was deleted, and its data with it: create another VirtualServer"#);
    let other = disk(json!({"metadata": {"uid": crate::fixtures::LOG}}));
    insta::assert_snapshot!(decided(placed(1), Some(other)), @r#"Failed: DiskReplaced: Disk "web-root" is another one than the server was placed with; its data is gone: create another VirtualServer"#);
    let missing = json!({"status": {"volume": {"state": "Failed", "reason": "VolumeMissing", "message": "its file is gone"}}});
    let missing = disk(all([given(1, "Failed"), missing]));
    insta::assert_snapshot!(decided(all([placed(1), said(1, "Preparing")]), Some(missing)), @r#"Failed: VolumeMissing: Disk "web-root": its file is gone"#);
}

#[test]
fn decide_a_refused_server_goes_elsewhere() {
    let refused = all([placed(1), said(1, "Refused")]);
    let given_only = all([given(1, "Creating"), json!({"status": {"volume": null}})]);
    insta::assert_snapshot!(decided(refused.clone(), Some(disk(given_only.clone()))), @r"
    unpin web-root
    Pending: Refused: its hypervisor refused it: its disks are set free
    ");
    let mut freed =
        observed(server(refused.clone()), Some(disk(json!({"status": {"attachEpoch": 1}}))));
    let node = freed.status().placement.unwrap().node_name;
    freed.refusals = vec![Refusal {
        node,
        epoch: Epoch(1),
        said: "no memory".into(),
        times: 1,
        until: Timestamp::MAX,
    }];
    insta::assert_snapshot!(show(&plan(&freed)), @r"
    place on node-b epoch 2
    attach web-root epoch 2/2
    Preparing: Preparing: node-b prepares it
    ");
    let log_replaced = json!({"status": {"runtime": {"reason": "LogReplaced"}}});
    insta::assert_snapshot!(decided(all([refused.clone(), log_replaced]), Some(disk(given_only))), @r"
    place on node-a epoch 2
    attach web-root epoch 2/2
    Preparing: Preparing: node-a prepares it
    ");
    insta::assert_snapshot!(decided(refused, Some(disk(given(1, "Ready")))), @r"
    place on node-a epoch 2
    attach web-root epoch 2/2
    Preparing: Preparing: node-a prepares it
    ");
}

#[test]
fn decide_a_right_is_never_moved_while_it_is_held() {
    for state in [
        "Preparing",
        "Starting",
        "Running",
        "Paused",
        "Stopping",
        "Stopped",
        "Down",
        "QmpUnresponsive",
        "FutureState",
    ] {
        for power in ["PoweredOn", "PoweredOff", "Future"] {
            let with = all([placed(1), said(1, state), json!({"spec": {"powerState": power}})]);
            let mut look = observed(server(with), Some(disk(given(1, "Ready"))));
            for host in [Host::Heard, Host::Silent] {
                look.host = host;
                let plan = plan(&look);
                assert!(plan.place.is_none() && plan.unpin.is_empty(), "{state} {power} {host:?}");
                assert!(plan.detach.is_empty() && plan.delete.is_empty(), "{state} {power}");
                assert_eq!(plan.finalizer, Finalizer::Keep, "{state} {power}");
            }
        }
    }
}

#[test]
fn decide_deletion_waits_for_the_holder_then_clears() {
    let held = all([placed(1), said(1, "Running"), deleted()]);
    insta::assert_snapshot!(decided(held.clone(), Some(disk(given(1, "Ready")))), @"Terminating: PoweringOff: node-a powers it off");
    let mut silent = observed(server(held.clone()), Some(disk(given(1, "Ready"))));
    silent.host = Host::Silent;
    insta::assert_snapshot!(show(&plan(&silent)), @"Terminating: HypervisorUnreachable: node-a, which has the run right, was not heard of lately; the server goes when node-a is back and has given it up");
    silent.deletion = Deletion::CrdTerminating;
    insta::assert_snapshot!(show(&plan(&silent)), @"Unknown: CrdTerminating: the CRD virtualservers.suigen.dev is being deleted, which marks every server; none is stopped for that");

    let released = all([placed(1), said(1, "Released"), deleted()]);
    insta::assert_snapshot!(decided(released.clone(), Some(disk(given(1, "Ready")))), @r"
    finalizer Lift
    detach web-root
    delete web-root
    Terminating: Released: its disks are being closed
    ");
    let kept = all([given(1, "Ready"), json!({"spec": {"reclaimPolicy": "Retain"}})]);
    insta::assert_snapshot!(decided(released.clone(), Some(disk(kept))), @r"
    finalizer Lift
    detach web-root
    Terminating: Released: its disks are being closed
    ");
    let others = all([elsewhere(), json!({"metadata": {"annotations": {MADE_FOR: "another"}}})]);
    insta::assert_snapshot!(decided(released.clone(), Some(disk(others))), @r"
    finalizer Lift
    Terminating: Released: its disks are being closed
    ");
    insta::assert_snapshot!(decided(deleted(), Some(disk(json!({})))), @r"
    finalizer Lift
    delete web-root
    Terminating: Released: its disks are being closed
    ");
    let mut behind = observed(server(released), Some(disk(given(1, "Ready"))));
    behind.behind = true;
    assert_eq!(plan(&behind).finalizer, Finalizer::Keep, "own writes are waited for");
}

#[test]
fn decide_a_refusal_of_the_api_server_is_said_where_a_person_looks() {
    let answer = |code, message: &str| {
        let mut status = kube::core::Status::failure(message, "Forbidden");
        status.code = code;
        write::Error::of("create", "acme/web-root".into(), kube::Error::Api(Box::new(status)))
    };
    let look = observed(server(json!({})), None);
    let quota = refused(&look, &answer(403, "exceeded quota: disks")).unwrap();
    insta::assert_snapshot!(show(&quota), @"Pending: ApiServerRefused: create acme/web-root: exceeded quota: disks");
    assert!(refused(&look, &answer(500, "etcd is slow")).is_none(), "tried again, silently");
    let held = observed(server(placed(1)), Some(disk(given(1, "Ready"))));
    assert!(refused(&held, &answer(403, "no")).is_none(), "its daemon's words count");
}
