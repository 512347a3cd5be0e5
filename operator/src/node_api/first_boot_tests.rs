//! The whole way of a request, against an API server that knows one server, a
//! few Secrets and whom which token is of.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::Body;
use axum::http::Request;
use axum::http::header::AUTHORIZATION;
use kube::Client;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::super::{ca, daemon, router};
use super::*;
use crate::metrics::Metrics;

const UID: &str = "0a000000-0000-4000-8000-00000000000f";
const LOG: &str = "00000000-0000-4000-8000-000000000011";
/// What must come out nowhere but in the answer that gives it.
const WORD: &str = "open-sesame";

/// What is stored, by path.
type Stored = BTreeMap<String, Value>;

fn server() -> Value {
    json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "VirtualServer",
        "metadata": {"name": "web-1", "namespace": "acme", "uid": UID},
        "spec": {
            "serverClassName": "c", "bootDiskName": "root", "userDataSecretName": "boot",
            "disks": [{"name": "root", "diskName": "d"}],
        },
        "status": {"placement": {
            "nodeName": "node-a", "epoch": 7, "walId": LOG, "firmware": "Bios", "disks": [],
            "class": {"name": "c", "resourceType": "BestEffort", "vcpus": 1, "memoryBytes": 1,
                "cpuFloorMillis": 1},
        }},
    })
}

fn secret(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "boot", "namespace": "acme"}, "data": data})
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

const SERVER_PATH: &str = "/apis/suigen.dev/v1alpha1/namespaces/acme/virtualservers/web-1";
const SECRET_PATH: &str = "/api/v1/namespaces/acme/secrets/boot";

fn stored(server: Value, secret: Option<Value>) -> Stored {
    let mut stored = Stored::from([(SERVER_PATH.to_owned(), server)]);
    stored.extend(secret.map(|secret| (SECRET_PATH.to_owned(), secret)));
    stored
}

fn good() -> Stored {
    stored(server(), Some(secret(&json!({"userData": encoded(WORD), "other": encoded("x")}))))
}

/// A token is its owner's name, with the node after an `@`.
fn reviewed(token: &str) -> Value {
    let (name, node) = token.split_once('@').map_or((token, None), |(n, node)| (n, Some(node)));
    let extra = node.map(|node| json!({"authentication.kubernetes.io/node-name": [node]}));
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {},
        "status": {"authenticated": name != "nobody", "audiences": ["suigen-operator"],
            "user": {"username": name, "extra": extra}}})
}

async fn api_server(stored: Stored, request: Request<kube::client::Body>) -> (u16, Value) {
    let path = request.uri().path().to_owned();
    if path == "/apis/authentication.k8s.io/v1/tokenreviews" {
        let body = request.into_body().collect_bytes().await.unwrap();
        let review: Value = serde_json::from_slice(&body).unwrap();
        return (201, reviewed(review["spec"]["token"].as_str().unwrap()));
    }
    match stored.get(&path) {
        Some(object) => (200, object.clone()),
        None => (
            404,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "NotFound", "code": 404, "message": "not found", "metadata": {}}),
        ),
    }
}

/// Held by whoever asks: a line that one test logs first, without a log, is
/// otherwise lost to the test that reads the log at that moment.
static ASKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn ask(stored: &Stored, token: Option<&str>, path: &str) -> (u16, Value, String) {
    let _asking = ASKING.lock().await;
    answer(stored, token, path).await
}

async fn answer(stored: &Stored, token: Option<&str>, path: &str) -> (u16, Value, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stored = stored.clone();
    let service = tower::service_fn(move |request| {
        let stored = stored.clone();
        async move {
            let (code, object) = api_server(stored, request).await;
            let body = kube::client::Body::from(serde_json::to_vec(&object).unwrap());
            Ok::<_, Infallible>(axum::http::Response::builder().status(code).body(body).unwrap())
        }
    });
    let authority = ca::for_tests();
    let shared = Arc::new(Shared {
        client: Client::new(service, "default"),
        namespace: "suigen-system".into(),
        daemons: daemon::Daemons::new(&authority).unwrap(),
        authority,
        metrics: Arc::new(Metrics::default()),
    });
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    let answer = router(shared.clone()).oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (code, body, shared.metrics.render().unwrap())
}

const DAEMON: &str = "system:serviceaccount:suigen-system:suigen-node-daemon@node-a";

fn path(uid: &str, epoch: &str) -> String {
    format!("/node/v1/namespaces/acme/virtualservers/web-1/first-boot?uid={uid}&epoch={epoch}")
}

#[tokio::test]
async fn the_daemon_that_holds_the_run_right_gets_the_user_data_and_nothing_else_of_the_secret() {
    let (code, body, metrics) = ask(&good(), Some(DAEMON), &path(UID, "7")).await;
    assert_eq!((code, body), (200, json!({"userData": encoded(WORD)})));
    assert!(metrics.contains("reason=\"UserDataGiven\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_server_that_names_no_secret_has_no_user_data() {
    let mut server = server();
    server["spec"].as_object_mut().unwrap().remove("userDataSecretName");
    let (code, body, _) = ask(&stored(server, None), Some(DAEMON), &path(UID, "7")).await;
    assert_eq!((code, body), (200, json!({})));
}

#[tokio::test]
async fn nobody_else_gets_it() {
    let account = |name: &str| format!("system:serviceaccount:{name}");
    let other_node = account("suigen-system:suigen-node-daemon@node-b");
    let other_uid = "0a000000-0000-4000-8000-00000000000e";
    let own = path(UID, "7");
    let cases = [
        ("no token", None, own.clone(), 401, "NoToken"),
        ("a token that is not good", Some("nobody@node-a".into()), own.clone(), 401, "BadToken"),
        ("a user", Some("alice".into()), own.clone(), 403, "Forbidden"),
        ("a user with a node", Some("alice@node-a".into()), own.clone(), 403, "Forbidden"),
        (
            "the operator",
            Some(account("suigen-system:suigen-operator@node-a")),
            own.clone(),
            403,
            "Forbidden",
        ),
        (
            "the account of another namespace",
            Some(account("acme:suigen-node-daemon@node-a")),
            own.clone(),
            403,
            "Forbidden",
        ),
        (
            "a daemon of no node",
            Some(account("suigen-system:suigen-node-daemon")),
            own.clone(),
            403,
            "Forbidden",
        ),
        ("the daemon of another node", Some(other_node), own.clone(), 403, "NotPlacedHere"),
        ("an older placement", Some(DAEMON.into()), path(UID, "6"), 403, "NotPlacedHere"),
        ("a placement to come", Some(DAEMON.into()), path(UID, "8"), 403, "NotPlacedHere"),
        ("another server", Some(DAEMON.into()), path(other_uid, "7"), 403, "NotPlacedHere"),
        (
            "a server that is not there",
            Some(DAEMON.into()),
            own.replace("web-1", "web-2"),
            403,
            "NotPlacedHere",
        ),
        ("no epoch", Some(DAEMON.into()), own.replace("&epoch=7", ""), 400, "Malformed"),
        ("an epoch that is none", Some(DAEMON.into()), path(UID, "last"), 400, "Malformed"),
        (
            "a name that is a path",
            Some(DAEMON.into()),
            own.replace("web-1", "web-1%2Fstatus"),
            400,
            "Malformed",
        ),
    ];
    for (what, token, path, code, reason) in cases {
        let (got, body, metrics) = ask(&good(), token.as_deref(), &path).await;
        assert_eq!((got, body["reason"].as_str()), (code, Some(reason)), "{what}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}");
        assert!(!body.to_string().contains(&encoded(WORD)), "{what}: {body}");
        assert!(metrics.contains(&format!("reason=\"{reason}\"}} 1")), "{what}: {metrics}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_held_any_more_gets_none() {
    let mut unplaced = server();
    unplaced["status"].as_object_mut().unwrap().remove("placement");
    let mut moved = server();
    moved["status"]["placement"]["nodeName"] = "node-b".into();
    let mut deleting = server();
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for (server, why) in [
        (unplaced, "it is not placed"),
        (moved, "it is placed on node-b under epoch 7"),
        (deleting, "it is being deleted"),
    ] {
        let stored = stored(server, good().remove(SECRET_PATH));
        let (code, body, _) = ask(&stored, Some(DAEMON), &path(UID, "7")).await;
        assert_eq!((code, body["reason"].as_str()), (403, Some("NotPlacedHere")));
        assert!(body["message"].as_str().unwrap().ends_with(why), "{body}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_secret_is_said_without_what_is_in_it() {
    let large = STANDARD.encode(vec![b'x'; MOST_USER_DATA + 1]);
    let fits = STANDARD.encode(vec![b'x'; MOST_USER_DATA]);
    let cases = [
        (None, 404, "UserDataSecretNotFound"),
        (Some(secret(&json!({"userdata": encoded(WORD)}))), 404, "UserDataKeyMissing"),
        (Some(secret(&Value::Null)), 404, "UserDataKeyMissing"),
        (Some(secret(&json!({"userData": large}))), 422, "UserDataTooLarge"),
    ];
    for (secret, code, reason) in cases {
        let (got, body, _) = ask(&stored(server(), secret), Some(DAEMON), &path(UID, "7")).await;
        assert_eq!((got, body["reason"].as_str()), (code, Some(reason)), "{body}");
        let message = body["message"].as_str().unwrap();
        assert!(message.contains("acme/boot") && message.len() < 200, "{message}");
    }
    let secret = secret(&json!({"userData": fits}));
    let (code, ..) = ask(&stored(server(), Some(secret)), Some(DAEMON), &path(UID, "7")).await;
    assert_eq!(code, 200);
}

/// What the program logs, whoever wrote the line.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_never_has_what_is_in_the_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _asking = ASKING.lock().await;
    let _logged = tracing::subscriber::set_default(subscriber);
    let (code, ..) = answer(&good(), Some(DAEMON), &path(UID, "7")).await;
    assert_eq!(code, 200);
    let broken = secret(&json!({"userData": format!("no base64: {WORD}")}));
    let broken = stored(server(), Some(broken));
    let (code, body, _) = answer(&broken, Some(DAEMON), &path(UID, "7")).await;
    assert_eq!((code, body["reason"].as_str()), (502, Some("SecretNotUnderstood")));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("user data given") && log.contains("user data declined"), "{log}");
    for word in [WORD, &encoded(WORD)] {
        assert!(!log.contains(word) && !body.to_string().contains(word), "{log} {body}");
    }
}
