//! Every admission policy refuses what it should, and nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use suigen_e2e::source_root;

use crate::api::{self, Kind, Server, Who};
use crate::fixtures::{Fixtures, ID, base, named, own_vni, yaml};
use crate::policies_table::{Names, Row, kind_of, rows, runtime, status};

/// One validation of one policy, as the chart has it.
#[derive(Debug, Deserialize)]
struct Policy {
    name: String,
    validations: Vec<Value>,
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
        port: "p.net0".into(),
        released: "vni-1".into(),
        in_use: "vni-2".into(),
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
        port: format!("placed-{id}.net0"),
        released: format!("vni-{}", own_vni(4)),
        in_use: format!("vni-{}", own_vni(5)),
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
    store_networks(fixtures, &names).await;
    let hypervisor = kind_of("Hypervisor");
    fixtures.store(&hypervisor, &names.here, base("Hypervisor"), None).await;
    fixtures.store(&kind_of("Lease"), &names.here, json!({"spec": {}}), None).await;
    let crd = kind_of("CustomResourceDefinition");
    fixtures.store(&crd, &names.acknowledged, throw_away_kind(id), None).await;
    names
}

/// A port that is bound here, and two segments: a released one that `admit-c`
/// tore down, and one in use. Both name a host that never tears them down, so
/// that no operator frees them meanwhile.
async fn store_networks(fixtures: &mut Fixtures, names: &Names) {
    let (port, mut object) = named("NetworkPort", &names.placed, 0);
    object["spec"]["binding"]["nodeName"] = names.here.clone().into();
    fixtures.store(&kind_of("NetworkPort"), &port, object, None).await;
    let segment = kind_of("NetworkSegment");
    let hosts = [names.here.as_str(), "admit-c"];
    for (vni, status) in [
        (
            own_vni(4),
            json!({"phase": "Releasing", "releasedAt": "2026-01-01T00:00:00Z",
            "hosts": hosts, "tornDown": [{"nodeName": "admit-c"}]}),
        ),
        (own_vni(5), json!({"phase": "InUse", "hosts": hosts})),
    ] {
        let (name, object) = named("NetworkSegment", "", vni);
        fixtures.store(&segment, &name, object, Some(status)).await;
    }
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
