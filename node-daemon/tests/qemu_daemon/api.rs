//! An API server in miniature: objects by their path, quorum reads, writes of a
//! status, and an outage at will.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

#[derive(Default)]
struct Store {
    objects: BTreeMap<String, Value>,
    writes: Vec<(String, Value)>,
    away: bool,
}

#[derive(Clone)]
pub struct FakeApi {
    store: Arc<Mutex<Store>>,
    pub address: SocketAddr,
}

impl FakeApi {
    /// Serves until the test ends; knows the CRDs and nothing else.
    pub async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = Arc::new(Mutex::new(Store::default()));
        let router = Router::new().fallback(answer).with_state(store.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let api = Self { store, address };
        for plural in ["virtualservers", "disks"] {
            let name = format!("{plural}.suigen.dev");
            api.put(
                &format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"),
                json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": {"name": name},
                    "spec": {"group": "suigen.dev", "names": {"kind": "X", "plural": plural},
                        "scope": "Namespaced", "versions": []},
                }),
            );
        }
        api
    }

    pub fn put(&self, path: &str, object: Value) {
        self.store.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    pub fn get(&self, path: &str) -> Value {
        self.store.lock().unwrap().objects.get(path).cloned().unwrap_or_default()
    }

    pub fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        change(self.store.lock().unwrap().objects.get_mut(path).unwrap());
    }

    pub fn remove(&self, path: &str) {
        self.store.lock().unwrap().objects.remove(path);
    }

    pub fn go_away(&self, away: bool) {
        self.store.lock().unwrap().away = away;
    }

    /// What was written to an object's status, oldest first.
    pub fn writes(&self, path: &str) -> Vec<Value> {
        let store = self.store.lock().unwrap();
        let to = |(written, _): &&(String, Value)| written == path;
        store.writes.iter().filter(to).map(|(_, status)| status.clone()).collect()
    }
}

async fn answer(
    State(store): State<Arc<Mutex<Store>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let mut store = store.lock().unwrap();
    if store.away {
        return (StatusCode::SERVICE_UNAVAILABLE, "etcd has no leader").into_response();
    }
    let path = uri.path().trim_end_matches("/status").to_owned();
    let Some(object) = store.objects.get_mut(&path) else {
        let name = path.rsplit('/').next().unwrap_or_default();
        return status(404, "NotFound", name);
    };
    if method == Method::GET {
        return axum::Json(object.clone()).into_response();
    }
    let applied: Value = serde_json::from_slice(&body).unwrap();
    if applied["metadata"]["uid"] != object["metadata"]["uid"] {
        return status(409, "Conflict", "another UID");
    }
    for (part, value) in applied["status"].as_object().unwrap() {
        object["status"][part] = value.clone();
    }
    let object = object.clone();
    store.writes.push((path, applied["status"].clone()));
    axum::Json(object).into_response()
}

fn status(code: u16, reason: &str, name: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": reason, "code": code, "details": {"name": name},
    });
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}
