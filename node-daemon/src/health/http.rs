//! `/healthz`, `/readyz` and `/metrics`, over plain HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the probes answer from.
#[derive(Debug, Clone)]
pub struct Health {
    adopted: Arc<AtomicBool>,
    registry: Arc<Registry>,
}

impl Health {
    /// A daemon that has not adopted yet.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { adopted: Arc::default(), registry: Arc::new(registry) }
    }

    /// Says that every guest that was found has its task: the daemon is ready.
    /// It may be so without the API server.
    pub fn adopted(&self) {
        self.adopted.store(true, Ordering::Release);
    }
}

/// Takes the address, so that a daemon that cannot be probed does not start.
///
/// # Errors
/// When it cannot be bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, health: Health, stop: CancellationToken) {
    let served = axum::serve(listener, router(health));
    if let Err(error) = served.with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "probes are not served any more");
    }
}

fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.adopted.load(Ordering::Acquire) {
        (StatusCode::OK, "adopted")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "adopting what runs on this node")
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &health.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
