//! What a spec names and what is not there.

use crate::guest::Guest;
use crate::harness::{SOON, Scenario};

const CLASS: &str = "---
apiVersion: suigen.dev/v1alpha1
kind: ServerClass
metadata: {name: late-class}
spec: {resourceType: BestEffort, virtual: {vcpus: 1, memory: 256Mi, cpuFloorMillis: 50}}
";

#[test]
fn e2e_an_unknown_class_is_waited_for_by_name() {
    let scenario = Scenario::shared("no-class");
    let _ = scenario.cluster.kubectl(&["delete", "serverclass/late-class", "--ignore-not-found"]);
    let mut server = scenario.tiny("early");
    server.class = "late-class";
    scenario.apply(&server.yaml());
    scenario.says("virtualserver/early", "Scheduled", &["ServerClassNotFound", "late-class"]);
    scenario.apply(CLASS);
    let guest = Guest::up(&scenario, "early");
    // The class is copied: deleting it does not touch what was bought.
    scenario.cluster.kubectl(&["delete", "serverclass/late-class"]).expect("delete the class");
    assert!(guest.process().is_some());
    scenario.wait(&guest.object(), "Ready", SOON);
}

#[test]
fn e2e_an_unknown_image_is_waited_for_by_name() {
    let scenario = Scenario::shared("no-image");
    let mut server = scenario.tiny("blank");
    server.image = "nobody-made-this";
    scenario.apply(&server.yaml());
    scenario.says("disk/blank-root", "Ready", &["ServerImageNotFound", "nobody-made-this"]);
    scenario.says("virtualserver/blank", "Ready", &["nobody-made-this"]);
    scenario.delete("virtualserver/blank");
}

#[test]
fn e2e_an_unknown_disk_class_is_waited_for_by_name() {
    let scenario = Scenario::shared("no-dclass");
    let yaml = scenario.tiny("where").yaml().replace("local-be", "nowhere");
    scenario.apply(&yaml);
    scenario.says("disk/where-root", "Ready", &["DiskClassNotFound", "nowhere"]);
    scenario.delete("virtualserver/where");
}

#[test]
fn e2e_a_missing_disk_is_waited_for_by_name() {
    let scenario = Scenario::shared("no-disk");
    let template =
        "template: {imageName: tiny, size: 256Mi, diskClassName: local-be, reclaimPolicy: Delete}";
    scenario.apply(&scenario.tiny("later").yaml().replace(template, "diskName: mine"));
    scenario.says("virtualserver/later", "DisksReady", &["mine"]);
    scenario.apply(&format!(
        "---
apiVersion: suigen.dev/v1alpha1
kind: Disk
metadata: {{name: mine, namespace: {}}}
spec: {{size: 256Mi, diskClassName: local-be, imageName: tiny}}
",
        scenario.namespace
    ));
    Guest::up(&scenario, "later");
}
