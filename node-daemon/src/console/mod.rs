//! Serial consoles, for the operator alone: it has checked who asks. Mutual TLS;
//! the client's certificate must be of the system's CA and name
//! [`OPERATOR_NAME`].

mod hub;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use suigen_crds::ident::Uid;
use tokio::sync::{broadcast, watch};

use crate::host::paths::Paths;
use crate::hypervisor::qemu::logs;
use crate::metrics::{Metrics, Reason};
use crate::node_certificate::Identity;
use crate::vm::node::Node;

pub use tls::OPERATOR_NAME;

/// How much of the end of a serial log is given, in bytes.
const TAIL_BYTES: u64 = 64 << 10;

/// What the handlers share.
#[derive(Debug, Clone)]
struct Consoles {
    paths: Arc<Paths>,
    metrics: Metrics,
    hubs: hub::Hubs,
}

impl Consoles {
    fn new(paths: Paths, metrics: Metrics) -> Self {
        Self { paths: Arc::new(paths), metrics, hubs: hub::Hubs::default() }
    }
}

/// Serves until the daemon stops.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    node: Arc<Node>,
    identity: watch::Receiver<Option<Arc<Identity>>>,
) -> std::io::Result<()> {
    let (metrics, stop) = (node.metrics.clone(), node.stop.clone());
    let consoles = Consoles::new(node.paths.clone(), metrics.clone());
    let listener = tokio::net::TcpListener::bind(address).await?;
    tls::serve(listener, router(consoles), identity, metrics, stop).await;
    Ok(())
}

fn router(consoles: Consoles) -> Router {
    Router::new()
        .route("/console/v1/servers/{uid}/serial", get(serial))
        .route("/console/v1/servers/{uid}/serial-log", get(serial_log))
        .with_state(consoles)
}

async fn serial(
    State(consoles): State<Consoles>,
    Path(uid): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Ok(uid) = Uid::try_from(uid) else {
        return (StatusCode::BAD_REQUEST, "that is not the UID of a server\n").into_response();
    };
    if !consoles.paths.server_run_dir(&uid).is_dir() {
        return not_here();
    }
    consoles.metrics.console_sessions.get_or_create(&Reason { reason: "Opened" }).inc();
    let hub = consoles.hubs.open(&uid, &consoles.paths);
    upgrade.on_upgrade(move |socket| relay(socket, hub)).into_response()
}

fn not_here() -> Response {
    (StatusCode::NOT_FOUND, "the server does not run here now\n").into_response()
}

/// Bytes both ways, until either side ends.
async fn relay(mut socket: WebSocket, hub: hub::Session) {
    let hub::Session { mut output, input } = hub;
    loop {
        tokio::select! {
            said = output.recv() => {
                let sent = match said {
                    Ok(bytes) => socket.send(Message::Binary(bytes)).await,
                    // A reader that is too slow loses bytes; it never slows others.
                    Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if sent.is_err() {
                    return;
                }
            }
            typed = socket.recv() => {
                let bytes = match typed {
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Text(text))) => text.into(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                if input.send(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn serial_log(State(consoles): State<Consoles>, Path(uid): Path<String>) -> Response {
    let Ok(uid) = Uid::try_from(uid) else {
        return (StatusCode::BAD_REQUEST, "that is not the UID of a server\n").into_response();
    };
    let log = consoles.paths.serial_log(&uid);
    if !log.exists() {
        return not_here();
    }
    let tail = tokio::task::spawn_blocking(move || logs::tail(&log, TAIL_BYTES)).await;
    tail.map_or_else(
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        IntoResponse::into_response,
    )
}

#[cfg(test)]
mod tests;
