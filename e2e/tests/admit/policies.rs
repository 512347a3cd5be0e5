//! Every admission policy refuses what it should, and nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use suigen_e2e::cluster::install::NAMESPACE;
use suigen_e2e::source_root;

use crate::api::{self, Kind, Server, Who, Write};
use crate::fixtures::{Fixtures, ID, base, yaml};

/// One validation of one policy, as the chart has it.
#[derive(Debug, Deserialize)]
struct Policy {
    name: String,
    validations: Vec<Value>,
}

/// An attempt that a validation refuses, and its twin that is admitted.
struct Row<'a> {
    policy: &'static str,
    says: &'static str,
    refused: (Who<'a>, &'static str, Write),
    admitted: (Who<'a>, &'static str, Write),
}

/// `says` is what `who` hears of `what`; `twin_who` is admitted with `twin`.
fn row<'a>(
    policy: &'static str,
    says: &'static str,
    (who, what): (Who<'a>, Try),
    (twin_who, twin): (Who<'a>, Try),
) -> Row<'a> {
    Row { policy, says, refused: (who, what.0, what.1), admitted: (twin_who, twin.0, twin.1) }
}

/// A kind, and what is tried on one of its objects.
type Try = (&'static str, Write);

/// The stored objects: one server and one disk here, a server that is placed
/// nowhere, and the hypervisor that is `here`.
struct Names {
    here: String,
    there: String,
    placed: String,
    unplaced: String,
    acknowledged: String,
}

#[test]
fn admit_policies_refuse_by_every_validation_and_admit_its_twin() {
    api::run(|server| async move {
        let mut fixtures = Fixtures::begin(&server, "policies").await;
        let names = store(&mut fixtures).await;
        let namespace = fixtures.namespace.clone();
        settle(&server, &namespace, &names).await;
        let mut failures = Vec::new();
        for row in rows(&names) {
            failures.extend(check(&server, &namespace, &row).await);
        }
        fixtures.end(&failures).await;
    });
}

/// A validation without a row would be one that nobody saw refuse.
#[test]
fn admit_policies_have_a_row_for_every_validation() {
    let names = Names {
        here: "a".into(),
        there: "b".into(),
        placed: "p".into(),
        unplaced: "u".into(),
        acknowledged: "k".into(),
    };
    let mut tried: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows(&names) {
        tried.entry(row.policy).or_default().push(row.says);
    }
    for policy in policies() {
        let says = tried.remove(policy.name.as_str()).unwrap_or_default();
        assert_eq!(says.len(), policy.validations.len(), "{}: a row for each", policy.name);
        for message in policy.validations.iter().filter_map(|v| v["message"].as_str()) {
            assert!(says.contains(&message), "{}: no row hears {message:?}", policy.name);
        }
    }
    assert!(tried.is_empty(), "the chart has no such policies: {tried:?}");
}

fn policies() -> Vec<Policy> {
    let table = source_root().join("charts/suigen/files/admission-policies.yaml");
    let text = std::fs::read_to_string(table).expect("read the table of policies");
    serde_yaml::from_str(&text).expect("the table of policies")
}

async fn check(server: &Server, namespace: &str, row: &Row<'_>) -> Vec<String> {
    let mut failures = Vec::new();
    let (who, kind, write) = &row.admitted;
    if let Err(said) = server.attempt(*who, &kind_of(kind), namespace, write).await {
        failures.push(format!("{}: {write:?} should be admitted: {said}", row.policy));
    }
    let (who, kind, write) = &row.refused;
    let said = server.attempt(*who, &kind_of(kind), namespace, write).await;
    let policy = format!("'suigen-{}'", row.policy);
    match said {
        Err(said) if said.contains(&policy) && said.contains(row.says) => {}
        said => {
            failures
                .push(format!("{}: {write:?} should hear {:?}: {said:?}", row.policy, row.says));
        }
    }
    failures
}

fn kind_of(kind: &str) -> Kind {
    match kind {
        "Lease" => Kind::of_kubernetes("coordination.k8s.io", kind, true).only_in(NAMESPACE),
        "CustomResourceDefinition" => Kind::of_kubernetes("apiextensions.k8s.io", kind, false),
        _ => Kind::of_suigen(kind),
    }
}

/// Waits until the API server has compiled the policies, all of which refuse
/// this one: a node that is nobody's.
async fn settle(server: &Server, namespace: &str, names: &Names) {
    let foreign = status(&names.placed, json!({"runtime": runtime(&names.here)}));
    api::until("the policies are in force (is the chart suigen installed?)", || async {
        let kind = Kind::of_suigen("VirtualServer");
        server.attempt(Who::Daemon("nobody"), &kind, namespace, &foreign).await.is_err()
    })
    .await;
}

async fn store(fixtures: &mut Fixtures) -> Names {
    let id = std::process::id();
    let names = Names {
        here: format!("admit-a-{id}"),
        there: format!("admit-b-{id}"),
        placed: format!("placed-{id}"),
        unplaced: format!("unplaced-{id}"),
        acknowledged: format!("admit{id}s.suigen.dev"),
    };
    let placed = json!({
        "placement": {
            "nodeName": names.here, "epoch": 1, "walId": ID, "firmware": "Bios", "disks": [],
            "class": {"name": "c", "resourceType": "BestEffort", "vcpus": 1, "memoryBytes": 1, "cpuFloorMillis": 1},
        },
        "runtime": runtime(&names.here),
    });
    let mut protected = base("VirtualServer");
    protected["spec"]["deletionProtection"] = "Enabled".into();
    let kept = json!({"nodeName": names.here});
    let server = kind_of("VirtualServer");
    fixtures.store(&server, &names.placed, base("VirtualServer"), Some(placed)).await;
    fixtures.store(&server, &names.unplaced, protected, None).await;
    fixtures.store(&kind_of("Disk"), &names.placed, base("Disk"), Some(kept)).await;
    let hypervisor = kind_of("Hypervisor");
    fixtures.store(&hypervisor, &names.here, base("Hypervisor"), None).await;
    fixtures.store(&kind_of("Lease"), &names.here, json!({"spec": {}}), None).await;
    let crd = kind_of("CustomResourceDefinition");
    fixtures.store(&crd, &names.acknowledged, throw_away_kind(id), None).await;
    names
}

fn throw_away_kind(id: u32) -> Value {
    yaml(&format!(
        "metadata: {{annotations: {{suigen.dev/allow-crd-deletion: 'yes'}}}}
spec:
  group: suigen.dev
  scope: Cluster
  names: {{plural: admit{id}s, singular: admit{id}, kind: Admit{id}}}
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]"
    ))
}

fn runtime(node: &str) -> Value {
    json!({"nodeName": node, "epoch": 1, "state": "Stopped"})
}

fn status(name: &str, status: Value) -> Write {
    Write::PatchStatus(name.to_owned(), json!({"status": status}))
}

fn lease(name: &str) -> Write {
    let kind = kind_of("Lease");
    Write::Create(kind.object(name, json!({"spec": {"holderIdentity": "admit"}})))
}

#[rustfmt::skip]
fn rows(names: &Names) -> Vec<Row<'_>> {
    let (here, there) = (Who::Daemon(&names.here), Who::Daemon(&names.there));
    let volume = |node: &str| json!({"volume": {"nodeName": node, "state": "Ready"}});
    let ready = |type_: &str| {
        json!({"conditions": [{"type": type_, "status": "True", "reason": "Admit", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    };
    let hypervisor = |name: &str| Write::Create(kind_of("Hypervisor").object(name, base("Hypervisor")));
    let server_says = |json| ("VirtualServer", status(&names.placed, json));
    let disk_says = |json| ("Disk", status(&names.placed, json));
    let hypervisor_says = |json| ("Hypervisor", status(&names.here, json));
    vec![
        // A server that is placed nowhere is on the node of a token without one.
        row("daemon-is-bound-to-a-node",
            "this token of the node-daemon names no node; only a token that is bound to a node, or to a pod on it, may write",
            (Who::UnboundDaemon, ("VirtualServer", status(&names.unplaced, json!({})))),
            (here, server_says(json!({})))),
        row("daemon-writes-no-other-kind",
            "a node-daemon writes the status of virtualservers, disks and hypervisors, and creates its own hypervisor; nothing else",
            (here, ("VirtualServer", Write::Patch(names.placed.clone(), json!({"spec": {"powerState": "PoweredOn"}})))),
            (Who::Admin, ("VirtualServer", Write::Patch(names.placed.clone(), json!({"spec": {"powerState": "PoweredOn"}}))))),
        row("daemon-reports-servers-placed-here",
            "a node-daemon reports only about servers that are placed on its node",
            (there, server_says(json!({"runtime": runtime(&names.there)}))),
            (here, server_says(json!({"runtime": {"state": "Running"}})))),
        row("daemon-reports-servers-placed-here",
            "a node-daemon writes nothing but runtime in the status of a server",
            (here, server_says(json!({"placement": {"nodeName": names.there, "epoch": 2}}))),
            (Who::Admin, server_says(json!({"placement": {"nodeName": names.there, "epoch": 2}})))),
        row("daemon-reports-servers-placed-here",
            "runtime.nodeName must be the node of the node-daemon that writes it",
            (here, server_says(json!({"runtime": {"nodeName": names.there}}))),
            (here, server_says(json!({"runtime": {"nodeName": names.here}})))),
        row("daemon-reports-disks-kept-here",
            "a node-daemon reports only about disks that are kept on its node",
            (there, disk_says(volume(&names.there))),
            (here, disk_says(volume(&names.here)))),
        row("daemon-reports-disks-kept-here",
            "a node-daemon writes nothing but volume in the status of a disk",
            (here, disk_says(json!({"attachEpoch": 1}))),
            (Who::Admin, disk_says(json!({"attachEpoch": 1})))),
        row("daemon-reports-disks-kept-here",
            "volume.nodeName must be the node of the node-daemon that writes it",
            (here, disk_says(volume(&names.there))),
            (here, disk_says(volume(&names.here)))),
        row("daemon-creates-its-hypervisor",
            "a Hypervisor is the provider's once it exists; its node-daemon neither changes its spec nor deletes it",
            (here, ("Hypervisor", Write::Patch(names.here.clone(), json!({"spec": {"scheduling": "Enabled"}})))),
            (Who::Admin, ("Hypervisor", Write::Patch(names.here.clone(), json!({"spec": {"scheduling": "Enabled"}}))))),
        row("daemon-creates-its-hypervisor",
            "a node-daemon creates only the Hypervisor that has the name of its node",
            (here, ("Hypervisor", hypervisor(&names.there))),
            (there, ("Hypervisor", hypervisor(&names.there)))),
        row("daemon-reports-its-hypervisor",
            "a node-daemon reports only about the Hypervisor that has the name of its node",
            (there, hypervisor_says(json!({"servers": 0}))),
            (here, hypervisor_says(json!({"servers": 0})))),
        row("daemon-reports-its-hypervisor",
            "the condition Ready of a Hypervisor is the operator's",
            (here, hypervisor_says(ready("Ready"))),
            (here, hypervisor_says(json!({"daemonVersion": "admit"})))),
        row("daemon-renews-its-lease", "a node-daemon does not delete leases",
            (here, ("Lease", Write::Delete(names.here.clone()))),
            (here, ("Lease", lease(&format!("hypervisor-{}", names.here))))),
        row("daemon-renews-its-lease", "the one lease of this node-daemon is hypervisor-admit-a-",
            (here, ("Lease", lease(&format!("hypervisor-{}", names.there)))),
            (there, ("Lease", lease(&format!("hypervisor-{}", names.there))))),
        row("protected-servers-stay",
            "is protected: set spec.deletionProtection to Disabled before deleting it",
            (Who::Admin, ("VirtualServer", Write::Delete(names.unplaced.clone()))),
            (Who::Admin, ("VirtualServer", Write::Delete(names.placed.clone())))),
        row("kinds-stay",
            "kubectl annotate crd virtualservers.suigen.dev suigen.dev/allow-crd-deletion=yes",
            (Who::Admin, ("CustomResourceDefinition", Write::Delete("virtualservers.suigen.dev".into()))),
            (Who::Admin, ("CustomResourceDefinition", Write::Delete(names.acknowledged.clone())))),
    ]
}
