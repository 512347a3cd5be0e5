//! What allocates is the operator's alone, whoever else has rights to it; and
//! a namespace that is being deleted is not held up by that.

use kube::api::DeleteParams;
use serde_json::json;

use crate::api::{self, Kind, Server, Who, Write};
use crate::fixtures::{Fixtures, named, own_vni};

const KINDS: [&str; 3] = ["NetworkPort", "AddressClaim", "NetworkSegment"];

#[test]
fn admit_only_the_operator_to_what_allocates() {
    api::run(|server| async move {
        let mut fixtures = Fixtures::begin(&server, "networks").await;
        let namespace = fixtures.namespace.clone();
        for kind in KINDS {
            let (name, object) = named(kind, "stored", own_vni(2));
            fixtures.store(&Kind::of_suigen(kind), &name, object, None).await;
        }
        settle(&server, &namespace).await;
        let mut failures = Vec::new();
        for kind in KINDS {
            for write in writes(kind) {
                failures.extend(try_both(&server, kind, &namespace, &write).await);
            }
        }
        fixtures.end(&failures).await;
    });
}

fn writes(kind: &str) -> [Write; 3] {
    let (stored, _) = named(kind, "stored", own_vni(2));
    let (name, object) = named(kind, "another", own_vni(3));
    [
        Write::Create(Kind::of_suigen(kind).object(&name, object)),
        Write::Patch(stored.clone(), json!({"metadata": {"labels": {"a": "b"}}})),
        Write::Delete(stored),
    ]
}

async fn try_both(server: &Server, kind: &str, namespace: &str, write: &Write) -> Vec<String> {
    let mut failures = Vec::new();
    let resource = Kind::of_suigen(kind);
    if let Err(said) = server.attempt(Who::Operator, &resource, namespace, write).await {
        failures.push(format!("{kind}: the operator's {write:?} should be admitted: {said}"));
    }
    for who in [Who::Admin, Who::Daemon("admit-a")] {
        let said = server.attempt(who, &resource, namespace, write).await;
        if !said.as_ref().is_err_and(|said| {
            said.contains("suigen-operator writes network")
                || said.contains("suigen-operator writes addressclaims")
                || said.contains("'suigen-daemon-writes-no-other-kind'")
        }) {
            failures.push(format!("{kind}: {write:?} by {who:?} should be refused: {said:?}"));
        }
    }
    failures
}

async fn settle(server: &Server, namespace: &str) {
    api::until("the policies are in force (is the chart suigen installed?)", || async {
        let [create, ..] = writes("NetworkPort");
        let kind = Kind::of_suigen("NetworkPort");
        server.attempt(Who::Admin, &kind, namespace, &create).await.is_err()
    })
    .await;
}

/// The controller that empties namespaces is not the operator.
#[test]
fn admit_deletions_of_a_namespace_that_goes() {
    api::run(|server| async move {
        let mut fixtures = Fixtures::begin(&server, "going").await;
        let namespace = fixtures.namespace.clone();
        let kind = Kind::of_suigen("AddressClaim");
        let (name, mut object) = named("AddressClaim", "stored", 0);
        object["metadata"] = json!({"finalizers": ["suigen.dev/admit"]});
        fixtures.store(&kind, &name, object, None).await;
        settle(&server, &namespace).await;
        let delete = Write::Delete(name.clone());
        let before = server.attempt(Who::Admin, &kind, &namespace, &delete).await;

        let namespaces = server.objects(&Kind::of_kubernetes("", "Namespace", false), "");
        namespaces.delete(&namespace, &DeleteParams::default()).await.expect("delete it");
        api::until("a claim in a namespace that goes may be deleted", || async {
            server.attempt(Who::Admin, &kind, &namespace, &delete).await.is_ok()
        })
        .await;
        let patch = Write::Patch(name, json!({"metadata": {"labels": {"a": "b"}}}));
        let changed = server.attempt(Who::Admin, &kind, &namespace, &patch).await;
        let mut failures = Vec::new();
        if before.is_ok() {
            failures.push("a claim in a namespace that stays was deleted".to_owned());
        }
        if changed.is_ok() {
            failures.push("a claim in a namespace that goes was changed".to_owned());
        }
        fixtures.end(&failures).await;
    });
}
