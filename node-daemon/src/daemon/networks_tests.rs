use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use kube::Config;
use serde_json::{Value, json};
use suigen_crds::ident::Epoch;
use suigen_crds::network_port::PortState;
use tokio::sync::mpsc::error::TryRecvError;

use super::*;
use crate::metrics::Metrics;
use crate::network::feed::Named;
use crate::right::decide::Me;

/// An API server that has no object and takes every write.
#[derive(Clone, Default)]
struct Server {
    heard: Arc<Mutex<Vec<(Method, String, Value)>>>,
    /// What it answers to everything, where that is to be nothing good.
    trouble: Arc<Mutex<Option<StatusCode>>>,
}

impl Server {
    async fn api(&self) -> Api {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config =
            Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let router = Router::new().fallback(hear).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let me = Me {
            node: "node-a".to_owned().try_into().unwrap(),
            log: "0a000000-0000-4000-8000-00000000000c".to_owned().try_into().unwrap(),
        };
        let api = Api::new(config, me, "suigen-system".into(), Metrics::default()).unwrap();
        api.allow_writes();
        api
    }

    fn heard(&self) -> Vec<(Method, String, Value)> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    fn answer_with(&self, trouble: Option<StatusCode>) {
        *self.trouble.lock().unwrap() = trouble;
    }
}

async fn hear(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, axum::Json<Value>) {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    server.heard.lock().unwrap().push((method.clone(), uri.to_string(), body.clone()));
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let failure = |code: u16, reason: &str| {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
            "message": "no", "code": code, "details": {"name": name}})
    };
    if let Some(code) = *server.trouble.lock().unwrap() {
        return (
            code,
            axum::Json(failure(code.as_u16(), code.canonical_reason().unwrap_or_default())),
        );
    }
    if method == Method::GET {
        return (StatusCode::NOT_FOUND, axum::Json(failure(404, "NotFound")));
    }
    (StatusCode::OK, axum::Json(body))
}

fn uid(n: u8) -> Uid {
    format!("0a000000-0000-4000-8000-0000000000{n:02x}").try_into().unwrap()
}

fn named() -> Named {
    Named { namespace: "acme".into(), name: "web-1.eth0".into() }
}

fn removed() -> Asks {
    let status = NetworkPortStatus {
        node_name: Some("node-a".to_owned().try_into().unwrap()),
        epoch: Some(Epoch(3)),
        state: Some(PortState::Removed),
        ..NetworkPortStatus::default()
    };
    Asks {
        reports: [(uid(1), (named(), status))].into(),
        torn_down: [(uid(2), "vni-5001".into())].into(),
        ..Asks::default()
    }
}

#[tokio::test]
async fn what_is_asked_is_written_once_under_the_right_names() {
    let server = Server::default();
    let api = server.api().await;
    let mut written = Written::default();
    assert!(write(&api, &removed(), &mut written).await);
    assert!(write(&api, &removed(), &mut written).await);
    let heard = server.heard();
    let [(_, port_path, port), (_, segment_path, segment)] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    let ports = "/apis/suigen.dev/v1alpha1/namespaces/acme/networkports/web-1.eth0/status?";
    assert!(port_path.starts_with(ports), "{port_path}");
    assert!(port_path.ends_with("fieldManager=suigen-node-daemon"), "{port_path}");
    assert_eq!(port["metadata"]["uid"], json!(uid(1)));
    assert_eq!(port["status"], json!({"nodeName": "node-a", "epoch": 3, "state": "Removed"}));
    let segments = "/apis/suigen.dev/v1alpha1/networksegments/vni-5001/status?";
    assert!(segment_path.starts_with(segments), "{segment_path}");
    assert!(segment_path.ends_with("fieldManager=suigen-node-daemon.node-a"), "{segment_path}");
    assert_eq!(segment["status"], json!({"tornDown": [{"nodeName": "node-a"}]}));
    // Asked anew after it was not asked for, it is written anew.
    assert!(write(&api, &Asks::default(), &mut written).await);
    assert!(write(&api, &removed(), &mut written).await);
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn what_failed_is_tried_again_and_what_is_gone_is_not() {
    let server = Server::default();
    let api = server.api().await;
    let mut written = Written::default();
    server.answer_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    assert!(!write(&api, &removed(), &mut written).await);
    server.answer_with(Some(StatusCode::CONFLICT));
    assert!(write(&api, &removed(), &mut written).await);
    assert_eq!(server.heard().len(), 4);
}

#[tokio::test]
async fn only_a_word_about_the_port_itself_says_that_it_is_gone() {
    let server = Server::default();
    let api = server.api().await;
    let asks = Asks { confirm: [(uid(1), named())].into(), ..Asks::default() };
    let (sender, mut inputs) = unbounded_channel();
    server.answer_with(Some(StatusCode::FORBIDDEN));
    assert!(!read_ports(&api, &asks, &sender).await);
    assert_eq!(inputs.try_recv().unwrap_err(), TryRecvError::Empty);
    server.answer_with(None);
    assert!(read_ports(&api, &asks, &sender).await);
    assert!(matches!(inputs.try_recv().unwrap(), Input::Confirmed(port, None) if port == uid(1)));
}
