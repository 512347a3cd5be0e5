//! Every rule of the CRDs refuses what it should, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::{self, Kind, Server, Write};
use crate::fixtures::{Fixtures, ID, named, own_vni, yaml};
use crate::rules_network::NETWORK_ROWS;
use crate::rules_table::{ROWS, Row, When};

/// The object that updates are tried on.
const STORED: &str = "stored";

#[test]
fn admit_crds_refuse_by_every_rule_and_admit_its_twin() {
    api::run(|server| async move {
        let mut fixtures = Fixtures::begin(&server, "crds").await;
        let stored = format!("{}-{STORED}", fixtures.namespace);
        for kind in kinds() {
            let status = status_of(&kind);
            let (name, object) = named(&kind, &stored, own_vni(0));
            fixtures.store(&Kind::of_suigen(&kind), &name, object, status).await;
        }
        let mut failures = Vec::new();
        for row in rows() {
            failures.extend(check(&server, &fixtures.namespace, &stored, row).await);
        }
        fixtures.end(&failures).await;
    });
}

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(NETWORK_ROWS)
}

/// A rule without a row would be a rule that nobody saw refuse.
#[test]
fn admit_crds_have_a_row_for_every_rule() {
    let mut rules = BTreeSet::new();
    for crd in suigen_crds::all_crds().expect("the CRDs") {
        collect(&serde_json::to_value(&crd).expect("a CRD"), &mut rules);
    }
    assert!(rules.len() > 20, "only {} rules were found", rules.len());
    let tried: BTreeSet<String> = rows().map(|row| row.says.to_owned()).collect();
    let missing: Vec<_> = rules.difference(&tried).collect();
    assert!(missing.is_empty(), "no row tries these rules: {missing:#?}");
}

fn collect(value: &Value, rules: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for rule in fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                rules.insert(rule["message"].as_str().expect("a message").to_owned());
            }
            fields.values().for_each(|field| collect(field, rules));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, rules)),
        _ => {}
    }
}

async fn check(server: &Server, namespace: &str, stored: &str, row: &Row) -> Vec<String> {
    let kind = Kind::of_suigen(row.kind);
    let mut failures = Vec::new();
    let who = kind.writer();
    let accepted =
        server.attempt(who, &kind, namespace, &row.write(&kind, stored, row.accepted)).await;
    if let Err(said) = accepted {
        failures.push(format!("{}: {} should be admitted: {said}", row.kind, row.accepted));
    }
    let refused =
        server.attempt(who, &kind, namespace, &row.write(&kind, stored, row.refused)).await;
    match refused {
        Err(said) if said.contains(row.says) => {}
        Err(said) => failures
            .push(format!("{}: {} should hear {:?}: {said}", row.kind, row.refused, row.says)),
        Ok(()) => failures
            .push(format!("{}: {} should hear {:?}: admitted", row.kind, row.refused, row.says)),
    }
    failures
}

impl Row {
    fn write(&self, kind: &Kind, stored: &str, change: &str) -> Write {
        let change = yaml(change);
        let (stored, _) = named(self.kind, stored, own_vni(0));
        match self.when {
            When::Created => {
                let (name, object) = named(self.kind, "admit-new", own_vni(1));
                let mut object = kind.object(&name, object);
                merge(&mut object, &change);
                Write::Create(object)
            }
            When::Changed => Write::Patch(stored, change),
            When::Reported => Write::PatchStatus(stored, change),
        }
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

fn kinds() -> BTreeSet<String> {
    rows().filter(|row| row.when != When::Created).map(|row| row.kind.to_owned()).collect()
}

fn status_of(kind: &str) -> Option<Value> {
    let node = "admit-a";
    match kind {
        "VirtualServer" => Some(json!({
            "placement": {
                "nodeName": node, "epoch": 5, "walId": ID, "firmware": "Bios", "disks": [],
                "class": {"name": "admit-none", "resourceType": "BestEffort", "vcpus": 1, "memoryBytes": 1, "cpuFloorMillis": 1},
            },
            "runtime": {"nodeName": node, "epoch": 5, "state": "Stopped"},
        })),
        "Disk" => Some(json!({"nodeName": node, "attachEpoch": 3})),
        "TenantNetwork" => Some(json!({"vni": 7, "mtu": 1400})),
        // A host that never says it tore it down, so that nobody frees it.
        "NetworkSegment" => Some(json!({
            "phase": "Releasing", "releasedAt": "2026-01-01T00:00:00Z", "hosts": [node],
        })),
        _ => None,
    }
}
