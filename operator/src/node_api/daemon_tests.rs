//! Against a daemon that is one in all but the guest: mutual TLS on loopback.

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::get;
use futures::SinkExt;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::node_api::ca;

#[test]
fn only_a_200_has_a_body() {
    assert_eq!(body(b"HTTP/1.0 200 OK\r\na: b\r\n\r\nhi\r\n\r\n").unwrap(), "hi\r\n\r\n");
    let gone = body(b"HTTP/1.0 404 No\r\n\r\ngone").unwrap_err();
    assert_eq!(gone.to_string(), "it answered: 404 gone");
    assert!(body(b"HTTP/1.0 200 OK\r\n").is_err());
    assert!(body(b"").is_err());
}

fn routes() -> Router {
    let echo = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(Message::Binary(bytes))) = socket.recv().await {
                let _ = socket.send(Message::Binary(bytes)).await;
            }
        })
    };
    Router::new()
        .route("/console/v1/servers/one/serial", get(echo))
        .route("/console/v1/servers/one/serial-log", get(|| async { "booted\n" }))
}

/// A daemon that shows a certificate for `node` of `shows`, and asks for one of `trusts`.
async fn daemon(node: &str, shows: &Authority, trusts: &Authority) -> Daemon {
    let (chain, key) = identity(shows, vec![name_of_daemon(node)]).unwrap();
    let roots = Daemons::new(trusts).unwrap().roots;
    let verifier = WebPkiClientVerifier::builder(roots).build().unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(routes());
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    Daemon { node: "node-a".into(), endpoint }
}

fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_log_comes_whole() {
    use_ring();
    let authority = ca::for_tests();
    let daemons = Daemons::new(&authority).unwrap();
    let daemon = daemon("node-a", &authority, &authority).await;
    let mut console = daemons.console(&authority, &daemon, "one").await.unwrap();
    console.send(tungstenite::Message::binary(&b"uptime\n"[..])).await.unwrap();
    assert_eq!(next_bytes(&mut console).await.unwrap(), "uptime\n");
    assert_eq!(daemons.serial_log(&authority, &daemon, "one").await.unwrap(), "booted\n");
    let missing = daemons.serial_log(&authority, &daemon, "two").await.unwrap_err();
    assert!(matches!(missing, Error::Answer(_)), "{missing}");
    let missing = daemons.console(&authority, &daemon, "two").await.unwrap_err();
    assert!(matches!(missing, Error::Answer(_)), "{missing}");
}

#[tokio::test]
async fn neither_end_speaks_to_one_that_is_not_who_it_should_be() {
    use_ring();
    let (ours, other) = (ca::for_tests(), ca::for_tests());
    let daemons = Daemons::new(&ours).unwrap();
    let cases = [
        ("another node's certificate", daemon("node-b", &ours, &ours).await),
        ("a certificate of another authority", daemon("node-a", &other, &ours).await),
        ("a daemon that does not trust us", daemon("node-a", &ours, &other).await),
    ];
    for (what, daemon) in cases {
        assert!(daemons.serial_log(&ours, &daemon, "one").await.is_err(), "{what}");
        assert!(daemons.console(&ours, &daemon, "one").await.is_err(), "{what}");
    }
}
