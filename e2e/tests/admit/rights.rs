//! What the roles of the chart allow, asked of the API server itself; and that
//! a real token carries the claim on which the policies stand.

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use suigen_crds::virtual_server::VirtualServer;
use suigen_e2e::cluster::install::NAMESPACE;

use crate::api::{self, Kind, Server, Who, Write};
use crate::fixtures::{Fixtures, ID, base};
use crate::rights_table::{DAEMON, OPERATOR, Right, TENANT, VIEWER, may};

#[test]
fn admit_roles_give_what_is_needed_and_no_more() {
    api::run(|server| async move {
        let mut fixtures = Fixtures::begin(&server, "rights").await;
        for (user, role) in [("admit-tenant", "suigen-edit"), ("admit-viewer", "suigen-view")] {
            bind(&mut fixtures, user, role).await;
        }
        let client = server.client(Who::Admin);
        let tenant = fixtures.namespace.clone();
        let (daemon, operator) = (account("suigen-node-daemon"), account("suigen-operator"));
        let bound = may(&["get"], "suigen.dev/virtualservers", "tenant");
        for user in ["admit-tenant", "admit-viewer", &daemon, &operator] {
            let first = || async { denied(&client, user, &tenant, &bound).await.is_empty() };
            api::until("the roles are in force (is the chart suigen installed?)", first).await;
        }
        let mut failures = Vec::new();
        let people: [(&str, &[Right]); 4] = [
            (&daemon, DAEMON),
            (&operator, OPERATOR),
            ("admit-tenant", TENANT),
            ("admit-viewer", VIEWER),
        ];
        for (user, rights) in people {
            for right in rights {
                failures.extend(denied(&client, user, &tenant, right).await);
            }
        }
        fixtures.end(&failures).await;
    });
}

fn account(name: &str) -> String {
    format!("system:serviceaccount:{NAMESPACE}:{name}")
}

async fn bind(fixtures: &mut Fixtures, user: &str, role: &str) {
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    let kind = Kind::of_kubernetes("rbac.authorization.k8s.io", "RoleBinding", true);
    fixtures.store(&kind, user, binding, None).await;
}

/// Which verbs of a right are not as the table says.
async fn denied(client: &Client, user: &str, tenant: &str, right: &Right) -> Vec<String> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let mut wrong = Vec::new();
    for verb in right.verbs {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.to_owned()),
                resource_attributes: Some(attributes(verb, right, tenant)),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = reviews.create(&PostParams::default(), &review).await.expect("review");
        let allowed = answer.status.is_some_and(|status| status.allowed);
        if allowed != right.allowed {
            wrong
                .push(format!("{user}: {verb} {} in {:?}: {allowed}", right.resource, right.place));
        }
    }
    wrong
}

fn attributes(verb: &str, right: &Right, tenant: &str) -> ResourceAttributes {
    let (group, rest) = right.resource.split_once('/').expect("group/resource");
    let (rest, name) = rest.split_once(':').map_or((rest, None), |(r, name)| (r, Some(name)));
    let (resource, part) = rest.split_once('/').map_or((rest, None), |(r, part)| (r, Some(part)));
    let place = if right.place == "tenant" { tenant } else { right.place };
    ResourceAttributes {
        verb: Some((*verb).to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: part.map(str::to_owned),
        name: name.map(str::to_owned),
        namespace: (!place.is_empty()).then(|| place.to_owned()),
        ..ResourceAttributes::default()
    }
}

/// The policies read the node from the token. Here it is a real token, with no
/// right but those of the chart.
#[test]
fn admit_a_real_token_only_where_its_node_is() {
    api::run(|server| async move {
        let mut fixtures = Fixtures::begin(&server, "token").await;
        let node = format!("admit-{}", std::process::id());
        let nodes = Kind::of_kubernetes("", "Node", false);
        fixtures.store(&nodes, &node, json!({"spec": {"unschedulable": true}}), None).await;
        let hypervisors = Kind::of_suigen("Hypervisor");
        fixtures.store(&hypervisors, &node, base("Hypervisor"), None).await;
        fixtures.store(&hypervisors, &format!("{node}-other"), base("Hypervisor"), None).await;
        let uid = server.objects(&nodes, "").get(&node).await.expect("the node").metadata.uid;

        let bound = server.client_with_token(&token(&server, &node, uid).await);
        let about =
            |name: &str| Write::PatchStatus(name.to_owned(), json!({"status": {"walId": ID}}));
        let mut failures = Vec::new();
        let own = api::attempt(bound.clone(), &hypervisors, "", &about(&node)).await;
        if let Err(said) = own {
            failures.push(format!("its own hypervisor should be admitted: {said}"));
        }
        let other = api::attempt(bound, &hypervisors, "", &about(&format!("{node}-other"))).await;
        if !other
            .as_ref()
            .is_err_and(|said| said.contains("'suigen-daemon-reports-its-hypervisor'"))
        {
            failures
                .push(format!("another's hypervisor should be refused by the policy: {other:?}"));
        }
        fixtures.end(&failures).await;
    });
}

/// Not what a review says, but what a node-daemon's own token gets.
#[test]
fn admit_a_real_token_of_a_daemon_to_no_secret() {
    api::run(|server| async move {
        let mut fixtures = Fixtures::begin(&server, "secrets").await;
        let node = format!("admit-secret-{}", std::process::id());
        let nodes = Kind::of_kubernetes("", "Node", false);
        fixtures.store(&nodes, &node, json!({"spec": {"unschedulable": true}}), None).await;
        let boot = json!({"stringData": {"userData": "#cloud-config"}});
        let kind = Kind::of_kubernetes("", "Secret", true);
        fixtures.store(&kind, "boot", boot, None).await;
        let uid = server.objects(&nodes, "").get(&node).await.expect("the node").metadata.uid;
        let client = server.client_with_token(&token(&server, &node, uid).await);

        let servers: Api<VirtualServer> = Api::namespaced(client.clone(), &fixtures.namespace);
        servers.list(&ListParams::default()).await.expect("the token is good");
        let mut failures = Vec::new();
        for (namespace, name) in [(fixtures.namespace.as_str(), "boot"), (NAMESPACE, "suigen-ca")] {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
            let answers = [
                ("get", refused(secrets.get(name).await)),
                ("list", refused(secrets.list(&ListParams::default()).await)),
            ];
            let heard = answers.into_iter().filter(|(_, refused)| !refused);
            failures.extend(heard.map(|(verb, _)| format!("{verb} {namespace}/{name}: no 403")));
        }
        fixtures.end(&failures).await;
    });
}

fn refused<T>(answer: kube::Result<T>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 403)
}

async fn token(server: &Server, node: &str, uid: Option<String>) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(server.client(Who::Admin), NAMESPACE);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                uid,
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request("suigen-node-daemon", &PostParams::default(), &request)
        .await
        .expect("make a token");
    made.status.and_then(|status| status.token).expect("a token")
}
