//! User data for a server that is about to start: given to the node-daemon that
//! holds its run right, and to no other. So node-daemons need no right to
//! Secrets, and a node that is taken over learns those of its own servers only.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::api::GetParams;
use kube::core::Request;
use kube::{Api, Client, Resource};
use serde::{Deserialize, Serialize};
use suigen_crds::virtual_server::VirtualServer;

use super::Shared;
use super::refusal::{Refusal, in_time};
use super::token;

/// The key of the Secret that holds the user data.
const KEY: &str = "userData";
/// The most that is passed on. A Secret may hold twice as much.
const MOST_USER_DATA: usize = 512 << 10;

/// Which right the daemon says it has.
#[derive(Debug, Deserialize)]
pub struct Claimed {
    uid: String,
    epoch: i64,
}

/// What a daemon gets. Nothing shows it but the answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstBoot {
    /// In base64; absent when the server names no Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_data: Option<String>,
}

/// Why there is none. A tenant reads the message in the server's status.
#[derive(Debug, thiserror::Error)]
pub enum Declined {
    /// For a reason that any request may have.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The caller does not hold the run right that it names.
    #[error("node {node} does not hold the run right of {server} that it names: {why}")]
    NotPlacedHere {
        /// The node in the caller's token.
        node: String,
        /// Namespace and name.
        server: String,
        /// What is so instead.
        why: String,
    },
    /// There is no such Secret.
    #[error("there is no Secret {0}, which the server names as its user data")]
    SecretNotFound(String),
    /// The Secret has other keys.
    #[error("the Secret {0} has no key {KEY}, which is to hold the user data")]
    KeyMissing(String),
    /// The API server's answer is no Secret.
    #[error("the API server's answer to a request for the Secret {0} is not understood")]
    NotUnderstood(String),
    /// Too large.
    #[error("the user data in the Secret {0} has {1} bytes, {MOST_USER_DATA} are the most")]
    TooLarge(String, usize),
}

impl Declined {
    fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::NotPlacedHere { .. } => "NotPlacedHere",
            Self::SecretNotFound(_) => "UserDataSecretNotFound",
            Self::KeyMissing(_) => "UserDataKeyMissing",
            Self::NotUnderstood(_) => "SecretNotUnderstood",
            Self::TooLarge(..) => "UserDataTooLarge",
        }
    }

    const fn code(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotPlacedHere { .. } => StatusCode::FORBIDDEN,
            Self::SecretNotFound(_) | Self::KeyMissing(_) => StatusCode::NOT_FOUND,
            Self::NotUnderstood(_) => StatusCode::BAD_GATEWAY,
            Self::TooLarge(..) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl IntoResponse for Declined {
    fn into_response(self) -> Response {
        let message = crate::chain::Chain(&self).to_string();
        tracing::info!(reason = self.reason(), %message, "user data declined");
        let body = serde_json::json!({"reason": self.reason(), "message": message});
        (self.code(), Json(body)).into_response()
    }
}

/// Gives the user data of a server to the node-daemon that may run it.
///
/// # Errors
/// When the caller may not run it, or there is nothing to give.
pub async fn user_data(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    claimed: Result<Query<Claimed>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<FirstBoot>, Declined> {
    let given = async {
        let Query(claimed) = claimed.map_err(|error| Refusal::Malformed(error.body_text()))?;
        let work = async { Ok(give(&shared, &headers, (&namespace, &name), &claimed).await) };
        in_time(work).await?
    };
    let given = given.await;
    shared.metrics.count_request(given.as_ref().map_or_else(Declined::reason, |_| "UserDataGiven"));
    given.map(Json)
}

async fn give(
    shared: &Shared,
    headers: &HeaderMap,
    (namespace, name): (&str, &str),
    claimed: &Claimed,
) -> Result<FirstBoot, Declined> {
    let caller = token::review(&shared.client, headers).await?;
    let node = caller.daemon_of(&shared.namespace)?;
    // What is no name would end up as another path at the API server.
    if let Some(bad) = [namespace, name].into_iter().find(|name| !is_label(name)) {
        return Err(Refusal::Malformed(format!("{bad:?} is no name")).into());
    }
    let servers = Api::<VirtualServer>::namespaced(shared.client.clone(), namespace);
    let server = servers.get_opt(name).await.map_err(Refusal::api("read the VirtualServer"))?;
    let server = holds(server, claimed, node).map_err(|why| Declined::NotPlacedHere {
        node: node.to_owned(),
        server: format!("{namespace}/{name}"),
        why,
    })?;
    let Some(secret_name) = server.spec.user_data_secret_name else {
        return Ok(FirstBoot { user_data: None });
    };
    let secret = secret(&shared.client, namespace, &secret_name).await?;
    let user_data = take_out(secret, format!("{namespace}/{secret_name}"))?;
    tracing::info!(node, namespace, name, epoch = claimed.epoch, "user data given");
    Ok(FirstBoot { user_data: Some(user_data) })
}

fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(plain)
}

/// The server, if the node holds that very right to it now. Pure.
fn holds(
    server: Option<VirtualServer>,
    claimed: &Claimed,
    node: &str,
) -> Result<VirtualServer, String> {
    let server = server.ok_or("there is no such VirtualServer")?;
    let uid = server.metadata.uid.as_deref().unwrap_or_default();
    if uid != claimed.uid {
        return Err("it is another server of that name by now".into());
    }
    if server.metadata.deletion_timestamp.is_some() {
        return Err("it is being deleted".into());
    }
    let placement = server.status.as_ref().and_then(|status| status.placement.as_ref());
    let placement = placement.ok_or("it is not placed")?;
    if placement.node_name.to_string() != node || placement.epoch.0 != claimed.epoch {
        let (holder, epoch) = (&placement.node_name, placement.epoch);
        return Err(format!("it is placed on {holder} under epoch {epoch}"));
    }
    Ok(server)
}

/// Reads a Secret as text: the client's own reader logs a text that it does not
/// understand.
async fn secret(client: &Client, namespace: &str, name: &str) -> Result<Option<Secret>, Declined> {
    let full = format!("{namespace}/{name}");
    let path = Secret::url_path(&(), Some(namespace));
    let request = Request::new(path).get(name, &GetParams::default());
    let request = request.map_err(|_| Declined::SecretNotFound(full.clone()))?;
    match client.request_text(request).await {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).map_err(|_| Declined::NotUnderstood(full))
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(Refusal::api("read the Secret")(error).into()),
    }
}

fn take_out(secret: Option<Secret>, name: String) -> Result<String, Declined> {
    let Some(secret) = secret else { return Err(Declined::SecretNotFound(name)) };
    let user_data = secret.data.and_then(|mut data| data.remove(KEY));
    match user_data {
        None => Err(Declined::KeyMissing(name)),
        Some(bytes) if bytes.0.len() > MOST_USER_DATA => {
            Err(Declined::TooLarge(name, bytes.0.len()))
        }
        Some(bytes) => Ok(STANDARD.encode(bytes.0)),
    }
}

#[cfg(test)]
#[path = "first_boot_tests.rs"]
mod tests;
