//! Requests to the API server, as somebody.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::Value;
use suigen_e2e::{cluster::install::NAMESPACE, setup};

/// Who makes a request.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// The cluster's administrator.
    Admin,
    /// A node-daemon whose token names this node, with every right that RBAC
    /// can give, so that only the admission policies are left to refuse.
    Daemon(&'a str),
    /// The same with a token that names no node.
    UnboundDaemon,
    /// The operator, with every right that RBAC can give.
    Operator,
}

/// A write that is tried.
#[derive(Debug, Clone)]
pub enum Write {
    /// The object is created.
    Create(Value),
    /// The object of that name is merged with this.
    Patch(String, Value),
    /// Likewise its status.
    PatchStatus(String, Value),
    /// The object of that name is deleted.
    Delete(String),
}

/// The kubeconfig of the cluster under test; the lab is brought up if need be.
fn kubeconfig() -> &'static Path {
    static KUBECONFIG: OnceLock<PathBuf> = OnceLock::new();
    KUBECONFIG.get_or_init(|| match std::env::var_os("SUIGEN_KUBECONFIG") {
        Some(path) => path.into(),
        None => setup::ready().expect("bring up the lab").kubeconfig().to_owned(),
    })
}

/// Runs a test against the API server.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(Server) -> F) {
    let file = Kubeconfig::read_from(kubeconfig()).expect("read the kubeconfig");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("start a runtime")
        .block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options).await.expect("use it");
            test(Server { config }).await;
        });
}

/// The API server under test.
#[derive(Debug, Clone)]
pub struct Server {
    config: Config,
}

impl Server {
    /// A client that acts as somebody.
    pub fn client(&self, who: Who<'_>) -> Client {
        let mut config = self.config.clone();
        let account = match who {
            Who::Admin => None,
            Who::Daemon(_) | Who::UnboundDaemon => Some("suigen-node-daemon"),
            Who::Operator => Some("suigen-operator"),
        };
        if let Some(account) = account {
            let auth = &mut config.auth_info;
            auth.impersonate = Some(format!("system:serviceaccount:{NAMESPACE}:{account}"));
            auth.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        }
        if let Who::Daemon(node) = who {
            let claim = "authentication.kubernetes.io/node-name".to_owned();
            config.auth_info.impersonate_user_extra =
                Some([(claim, vec![node.to_owned()])].into_iter().collect());
        }
        Client::try_from(config).expect("make a client")
    }

    /// A client with this token and nothing else.
    pub fn client_with_token(&self, token: &str) -> Client {
        let mut config = self.config.clone();
        let token = Some(token.to_owned().into());
        let auth = kube::config::AuthInfo { token, ..Default::default() };
        config.auth_info = auth;
        Client::try_from(config).expect("make a client")
    }

    /// Tries a write without storing it; the error is what the API server said.
    pub async fn attempt(
        &self,
        who: Who<'_>,
        kind: &Kind,
        namespace: &str,
        write: &Write,
    ) -> Result<(), String> {
        attempt(self.client(who), kind, namespace, write).await
    }

    /// An API for objects of the kind, as somebody who may write them.
    pub fn objects(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        kind.api(self.client(kind.writer()), namespace)
    }
}

/// Tries a write without storing it; the error is what the API server said.
pub async fn attempt(
    client: Client,
    kind: &Kind,
    namespace: &str,
    write: &Write,
) -> Result<(), String> {
    let api = kind.api(client, namespace);
    let patching = PatchParams { dry_run: true, ..PatchParams::default() };
    match write {
        Write::Create(object) => {
            let object = serde_json::from_value(object.clone()).expect("an object");
            said(api.create(&PostParams { dry_run: true, field_manager: None }, &object).await)
        }
        Write::Patch(name, patch) => said(api.patch(name, &patching, &Patch::Merge(patch)).await),
        Write::PatchStatus(name, patch) => {
            said(api.patch_status(name, &patching, &Patch::Merge(patch)).await)
        }
        Write::Delete(name) => {
            let deleting = DeleteParams { dry_run: true, ..DeleteParams::default() };
            said(api.delete(name, &deleting).await)
        }
    }
}

/// Tries to apply an object without storing it.
pub async fn apply(
    client: Client,
    kind: &Kind,
    namespace: &str,
    object: &Value,
) -> Result<(), String> {
    let strict = ValidationDirective::Strict;
    let params = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some("admit".to_owned()),
        field_validation: Some(strict),
    };
    let name = object["metadata"]["name"].as_str().expect("a name");
    said(kind.api(client, namespace).patch(name, &params, &Patch::Apply(object)).await)
}

fn said<T>(answer: kube::Result<T>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("the API server did not answer: {error}"),
    }
}

/// A kind, as a request names it.
#[derive(Debug, Clone)]
pub struct Kind {
    resource: ApiResource,
    namespaced: bool,
    home: Option<&'static str>,
}

impl Kind {
    /// One of Suigen's kinds.
    pub fn of_suigen(kind: &str) -> Self {
        let crds = suigen_crds::all_crds().expect("the CRDs");
        let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).expect("a kind of Suigen");
        let gvk = GroupVersionKind::gvk(suigen_crds::GROUP, suigen_crds::VERSION, kind);
        Self {
            resource: ApiResource::from_gvk_with_plural(&gvk, &crd.spec.names.plural),
            namespaced: crd.spec.scope == "Namespaced",
            home: None,
        }
    }

    /// A kind of Kubernetes.
    pub fn of_kubernetes(group: &str, kind: &str, namespaced: bool) -> Self {
        let gvk = GroupVersionKind::gvk(group, "v1", kind);
        Self { resource: ApiResource::from_gvk(&gvk), namespaced, home: None }
    }

    /// The kind of an object that says where it belongs.
    pub fn of_object(object: &Value) -> Self {
        let (api_version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
        let (group, version) = api_version
            .map(|both| both.split_once('/').unwrap_or(("", both)))
            .expect("an apiVersion");
        let gvk = GroupVersionKind::gvk(group, version, kind.expect("a kind"));
        let namespaced = object["metadata"]["namespace"].is_string();
        Self { resource: ApiResource::from_gvk(&gvk), namespaced, home: None }
    }

    /// Whether it is this kind of Suigen.
    pub fn is_of_suigen(&self, kind: &str) -> bool {
        self.resource.group == suigen_crds::GROUP && self.resource.kind == kind
    }

    /// Who may write such objects: what allocates is the operator's alone.
    pub fn writer(&self) -> Who<'static> {
        let allocates = ["NetworkSegment", "NetworkPort", "AddressClaim"];
        match allocates.iter().any(|kind| self.is_of_suigen(kind)) {
            true => Who::Operator,
            false => Who::Admin,
        }
    }

    /// The kind as it is in one namespace, whichever a test works in.
    pub fn only_in(self, namespace: &'static str) -> Self {
        Self { home: Some(namespace), ..self }
    }

    fn api(&self, client: Client, namespace: &str) -> Api<DynamicObject> {
        match self.namespaced {
            true => Api::namespaced_with(client, self.home.unwrap_or(namespace), &self.resource),
            false => Api::all_with(client, &self.resource),
        }
    }

    /// Completes an object of the kind.
    pub fn object(&self, name: &str, mut rest: Value) -> Value {
        rest["apiVersion"] = self.resource.api_version.clone().into();
        rest["kind"] = self.resource.kind.clone().into();
        rest["metadata"]["name"] = name.into();
        rest
    }
}

/// Waits until something is so: policies and roles reach the API server's
/// caches a moment after they were stored.
pub async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    for _ in 0..100 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within ten seconds: {what}");
}
