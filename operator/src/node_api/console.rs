//! Serial consoles: who may, then bytes both ways until either end closes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::SinkExt;
use kube::Api;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::virtual_server::VirtualServer;
use tokio_tungstenite::tungstenite;

use super::Shared;
use super::daemon::{Console, Daemon, next_bytes};
use super::refusal::{Refusal, in_time};
use super::token;

/// A silent console is kept alive through proxies by a ping this often; a peer
/// that is gone is noticed by it.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Opens the serial console of a server as a WebSocket.
///
/// # Errors
/// When the caller may not, or there is no console now.
pub async fn serial(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let opened = async {
        let (daemon, uid) = in_time(admit(&shared, &headers, &namespace, &name)).await?;
        let console = shared.daemons.console(&shared.authority, &daemon, &uid).await;
        console.map_err(|source| Refusal::Daemon { node: daemon.node, source })
    };
    let console = counted(&shared, "ConsoleOpened", opened.await)?;
    Ok(upgrade.on_upgrade(move |user| async move {
        shared.metrics.consoles.inc();
        relay(user, console).await;
        shared.metrics.consoles.dec();
    }))
}

/// Gives the tail of a server's serial log as text.
///
/// # Errors
/// When the caller may not, or there is no log now.
pub async fn serial_log(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let fetched = async {
        let (daemon, uid) = in_time(admit(&shared, &headers, &namespace, &name)).await?;
        let log = shared.daemons.serial_log(&shared.authority, &daemon, &uid).await;
        log.map_err(|source| Refusal::Daemon { node: daemon.node, source })
    };
    let log = counted(&shared, "SerialLogRead", fetched.await)?;
    Ok(([("content-type", "text/plain; charset=utf-8")], log).into_response())
}

fn counted<T>(shared: &Shared, good: &'static str, came: Result<T, Refusal>) -> Result<T, Refusal> {
    shared.metrics.count_request(came.as_ref().map_or_else(Refusal::reason, |_| good));
    came
}

/// Checks the caller before anything is said about the server: who may not see
/// it does not learn whether it exists.
async fn admit(
    shared: &Shared,
    headers: &HeaderMap,
    namespace: &str,
    name: &str,
) -> Result<(Daemon, String), Refusal> {
    let caller = token::review(&shared.client, headers).await?;
    token::may_open_console(&shared.client, &caller, namespace, name).await?;
    let servers = Api::<VirtualServer>::namespaced(shared.client.clone(), namespace);
    let server =
        servers.get_opt(name).await.map_err(Refusal::api("read the VirtualServer"))?.ok_or_else(
            || Refusal::NotFound(format!("there is no VirtualServer {namespace}/{name}")),
        )?;
    let daemon = daemon_of(shared, &server).await?;
    tracing::info!(user = caller.name(), namespace, name, node = daemon.node, "console");
    Ok((daemon, server.metadata.uid.unwrap_or_default()))
}

async fn daemon_of(shared: &Shared, server: &VirtualServer) -> Result<Daemon, Refusal> {
    let not_now = |text: String| Refusal::NotNow(text);
    let placement = server.status.as_ref().and_then(|status| status.placement.as_ref());
    let node = placement
        .map(|placement| placement.node_name.to_string())
        .ok_or_else(|| not_now("the server is not placed on a hypervisor yet".into()))?;
    let hypervisors = Api::<Hypervisor>::all(shared.client.clone());
    let hypervisor =
        hypervisors.get_opt(&node).await.map_err(Refusal::api("read the Hypervisor"))?;
    let endpoint =
        hypervisor.and_then(|hypervisor| hypervisor.status?.endpoint).ok_or_else(|| {
            not_now(format!("the node-daemon of {node} has not said where it listens"))
        })?;
    Ok(Daemon { node, endpoint })
}

async fn relay(mut user: WebSocket, mut console: Console) {
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.tick().await;
    loop {
        let sent = tokio::select! {
            said = next_bytes(&mut console) => match said {
                Some(bytes) => user.send(Message::Binary(bytes)).await.is_ok(),
                None => false,
            },
            typed = user.recv() => match typed {
                Some(Ok(message)) => pass(message, &mut console).await,
                Some(Err(_)) | None => false,
            },
            _ = ping.tick() => user.send(Message::Ping(Bytes::new())).await.is_ok(),
        };
        if !sent {
            break;
        }
    }
    // Either end may be gone already.
    let _ = console.close(None).await;
    let _ = user.send(Message::Close(None)).await;
}

async fn pass(message: Message, console: &mut Console) -> bool {
    let bytes = match message {
        Message::Binary(bytes) => bytes,
        Message::Text(text) => text.into(),
        Message::Ping(_) | Message::Pong(_) => return true,
        Message::Close(_) => return false,
    };
    console.send(tungstenite::Message::Binary(bytes)).await.is_ok()
}
