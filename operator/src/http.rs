//! Health and metrics, in plain HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What this replica waits for before it is ready; none when it is.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    waits: Arc<Mutex<Vec<(&'static str, String)>>>,
}

impl Readiness {
    /// Notes what a part waits for.
    pub fn wait(&self, part: &'static str, reason: String) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.retain(|(of, _)| *of != part);
        waits.push((part, reason));
    }

    /// Notes that a part waits for nothing.
    pub fn ready(&self, part: &'static str) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| *of != part);
    }

    fn reasons(&self) -> Vec<String> {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.iter().map(|(part, reason)| format!("{part}: {reason}")).collect()
    }
}

#[derive(Clone)]
struct Served {
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

/// Serves until told to stop.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(text))
        .with_state(Served { readiness, metrics });
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn readyz(State(served): State<Served>) -> (StatusCode, String) {
    let reasons = served.readiness.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ok\n".into());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n")))
}

async fn text(State(served): State<Served>) -> impl IntoResponse {
    match served.metrics.render() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([("content-type", kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
