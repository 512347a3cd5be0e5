//! The HTTPS endpoint of both replicas: certificates and user data for
//! node-daemons, consoles for people.
//!
//! It carries no intent. Who asks is proven by a token with an audience of its
//! own, which the API server reviews; so a token made for the API server is
//! useless here, and one made for here is useless there.

pub mod ca;
mod certificate;
mod console;
mod daemon;
mod first_boot;
mod refusal;
mod serve;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::http::Readiness;
use crate::metrics::Metrics;

/// The largest request body: a certificate request is about 1 kB.
const MOST_BODY: usize = 16 << 10;

/// What the handlers share.
pub struct Shared {
    /// The way to the API server.
    pub client: Client,
    /// Suigen's own namespace.
    pub namespace: String,
    /// Signs; holds the key.
    pub authority: ca::Authority,
    /// Speaks to node-daemons.
    pub daemons: daemon::Daemons,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Loads or makes the authority, then serves until told to stop.
///
/// # Errors
/// When the address cannot be bound or a certificate cannot be made.
pub async fn run(
    address: SocketAddr,
    client: Client,
    namespace: String,
    metrics: Arc<Metrics>,
    (readiness, stop): (Readiness, CancellationToken),
) -> Result<(), serve::Error> {
    let Some(authority) = ca::load_until(&client, &namespace, &readiness, &stop).await else {
        return Ok(());
    };
    let daemons = daemon::Daemons::new(&authority)?;
    let identity = serve::Identity::new(&authority, &namespace)?;
    let shared = Arc::new(Shared { client, namespace, authority, daemons, metrics });
    let listener = serve::listen(address).await?;
    readiness.ready("api");
    serve::serve(listener, router(shared.clone()), identity, &shared, stop).await;
    Ok(())
}

fn router(shared: Arc<Shared>) -> Router {
    let server = "/console/v1/namespaces/{namespace}/virtualservers/{name}";
    let first_boot = "/node/v1/namespaces/{namespace}/virtualservers/{name}/first-boot";
    Router::new()
        .route("/node/v1/certificate", post(certificate::issue))
        .route(first_boot, get(first_boot::user_data))
        .route(&format!("{server}/serial"), get(console::serial))
        .route(&format!("{server}/serial-log"), get(console::serial_log))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(shared)
}
