//! What a disk comes to, case by case.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use suigen_crds::condition::{conclude, is_true};
use suigen_crds::disk_class::DiskClass;

use super::*;
use crate::fixtures::{all, deleted, disk, given, over};

fn image(with: Value) -> Lookup<ServerImage> {
    let mut base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "ServerImage", "metadata": {"name": "tiny"},
        "spec": {"url": "http://x/tiny", "sha256": "0".repeat(64), "format": "Qcow2",
            "firmware": "Uefi", "minimumDisk": "64Mi"},
    });
    over(&mut base, with);
    Lookup::Found(Arc::new(serde_json::from_value(base).unwrap()))
}

fn class(backend: &str) -> Lookup<DiskClass> {
    let class = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "DiskClass", "metadata": {"name": "local"},
        "spec": {"resourceType": "BestEffort", "backend": backend},
    });
    Lookup::Found(Arc::new(serde_json::from_value(class).unwrap()))
}

fn look(with: Value) -> Observed {
    let disk = disk(with);
    Observed {
        deletion: crate::finalizer::deletion(&disk, false),
        class: class("Local"),
        image: Some(image(json!({}))),
        unreachable: false,
        disk: Arc::new(disk),
    }
}

fn show(observed: &Observed) -> String {
    let plan = plan(observed);
    let conditions = conclude(plan.findings.clone(), &[], Some(1), Timestamp::UNIX_EPOCH);
    let on = |type_| is_true(&conditions, type_);
    let sum = u8::from(on("Ready")) + u8::from(on("Reconciling")) + u8::from(on("Stalled"));
    assert_eq!(sum, 1, "exactly one of Ready, Reconciling, Stalled: {conditions:#?}");
    let stalled = if on("Stalled") { ", stalled" } else { "" };
    let source = if plan.source.is_some() { "resolved" } else { "unresolved" };
    let ready = &plan.findings[0];
    format!(
        "{:?}, {source}{stalled}, finalizer {:?}: {}: {}",
        plan.phase, plan.finalizer, ready.reason, ready.message
    )
}

fn fresh() -> Value {
    json!({"status": {"source": null}})
}

#[test]
fn decide_class_and_image_are_resolved_once() {
    insta::assert_snapshot!(show(&look(fresh())), @"Pending, resolved, finalizer Keep: WaitsForServer: it is made where the first server that uses it is placed");
    let mut gone = look(json!({}));
    gone.class = Lookup::Missing;
    gone.image = Some(Lookup::Missing);
    insta::assert_snapshot!(show(&gone), @"Pending, resolved, finalizer Keep: WaitsForServer: it is made where the first server that uses it is placed");
    insta::assert_snapshot!(show(&look(json!({"metadata": {"finalizers": null}}))), @"Pending, resolved, finalizer Add: WaitsForServer: it is made where the first server that uses it is placed");
}

#[test]
fn decide_what_cannot_be_resolved() {
    let mut it = look(fresh());
    it.class = Lookup::Missing;
    insta::assert_snapshot!(show(&it), @r#"Pending, unresolved, finalizer Keep: DiskClassNotFound: there is no DiskClass "local": create it, or use another"#);
    it.class = Lookup::Unreadable("odd".into());
    insta::assert_snapshot!(show(&it), @r#"Pending, unresolved, finalizer Keep: DiskClassUnreadable: DiskClass "local" cannot be read (odd): correct it"#);
    it.class = class("Tape");
    insta::assert_snapshot!(show(&it), @r#"Failed, unresolved, stalled, finalizer Keep: DiskClassNotUnderstood: the backend of DiskClass "local" is not known to this release: upgrade Suigen, or use another class"#);
    it.class = class("Local");
    it.image = Some(Lookup::Missing);
    insta::assert_snapshot!(show(&it), @r#"Pending, unresolved, finalizer Keep: ServerImageNotFound: there is no ServerImage "tiny": create it, or use another"#);
    it.image = Some(image(json!({"spec": {"minimumDisk": "2Gi"}})));
    insta::assert_snapshot!(show(&it), @r#"Failed, unresolved, stalled, finalizer Keep: ImageLargerThanDisk: ServerImage "tiny" needs a disk of at least 2 GiB, this one has 1 GiB: create a larger Disk"#);
    it.image = Some(image(json!({"spec": {"format": "Vhdx"}})));
    insta::assert_snapshot!(show(&it), @r#"Failed, unresolved, stalled, finalizer Keep: ServerImageNotUnderstood: format or firmware of ServerImage "tiny" is not known to this release: upgrade Suigen, or use another image"#);
}

#[test]
fn decide_what_the_daemon_says() {
    insta::assert_snapshot!(show(&look(given(1, "Creating"))), @"Creating, resolved, finalizer Keep: Creating: node-a fetches the image and makes the volume");
    insta::assert_snapshot!(show(&look(given(1, "Ready"))), @"InUse, resolved, finalizer Keep: VolumeReady: the volume is on node-a");
    let free = all([given(1, "Ready"), json!({"status": {"attachment": null}})]);
    insta::assert_snapshot!(show(&look(free)), @"Ready, resolved, finalizer Keep: VolumeReady: the volume is on node-a");
    let silent = Observed { unreachable: true, ..look(given(1, "Ready")) };
    insta::assert_snapshot!(show(&silent), @"InUse, resolved, finalizer Keep: HypervisorUnreachable: node-a, which keeps the data, was not heard of lately");
    let failed = |reason| {
        let volume = json!({"status": {"volume": {"reason": reason, "message": "said so"}}});
        look(all([given(1, "Failed"), volume]))
    };
    insta::assert_snapshot!(show(&failed("ImageUnreachable")), @"Failed, resolved, finalizer Keep: ImageUnreachable: said so");
    insta::assert_snapshot!(show(&failed("ImageChecksumMismatch")), @"Failed, resolved, stalled, finalizer Keep: ImageChecksumMismatch: said so");
    insta::assert_snapshot!(show(&look(given(1, "Thawing"))), @"InUse, resolved, finalizer Keep: VolumeStateNotUnderstood: the node-daemon is of a later release than the operator: upgrade the operator");
}

#[test]
fn decide_deletion() {
    insta::assert_snapshot!(show(&look(deleted())), @"Deleting, resolved, finalizer Lift: Deleted: nothing was made");
    insta::assert_snapshot!(show(&look(all([given(1, "Ready"), deleted()]))), @"InUse, resolved, finalizer Keep: InUse: it is deleted once server web has given it up: delete that server");
    let free = all([given(1, "Ready"), json!({"status": {"attachment": null}}), deleted()]);
    insta::assert_snapshot!(show(&look(free.clone())), @"Deleting, resolved, finalizer Keep: Erasing: node-a erases the data");
    let silent = Observed { unreachable: true, ..look(free.clone()) };
    insta::assert_snapshot!(show(&silent), @"Deleting, resolved, finalizer Keep: Erasing: node-a, which keeps the data, was not heard of lately; it erases the data when it is back");
    let erased = all([free.clone(), json!({"status": {"volume": {"state": "Deleted"}}})]);
    insta::assert_snapshot!(show(&look(erased.clone())), @"Deleting, resolved, finalizer Lift: Deleted: the data is gone");
    let foreign = all([erased, json!({"status": {"volume": {"nodeName": "node-b"}}})]);
    insta::assert_snapshot!(show(&look(foreign)), @"Deleting, resolved, finalizer Keep: Erasing: node-a erases the data");
    let crd = Observed { deletion: Deletion::CrdTerminating, ..look(free) };
    insta::assert_snapshot!(show(&crd), @"Pending, resolved, stalled, finalizer Keep: CrdTerminating: the CRD disks.suigen.dev is being deleted, which marks every Disk; no data is erased for that");
}
