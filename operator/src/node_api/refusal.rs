//! Answers that are not what was asked for.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no bearer token.
    #[error("a bearer token is needed: kubectl create token NAME --audience suigen-operator")]
    NoToken,
    /// The API server does not vouch for the token.
    #[error("the token is not valid for this endpoint: make one with --audience suigen-operator")]
    BadToken,
    /// The caller may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// Not now.
    #[error("{0}")]
    NotNow(String),
    /// The API server does not answer.
    #[error("{action}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server takes too long.
    #[error("no answer from the API server in time: try again")]
    Slow,
    /// The node-daemon does not answer.
    #[error("reach the node-daemon of {node}")]
    Daemon {
        /// Its node.
        node: String,
        /// What came back.
        #[source]
        source: super::daemon::Error,
    },
    /// Signing failed.
    #[error("sign a certificate")]
    Sign(#[source] rcgen::Error),
}

/// Longest wait for the API server in one request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bounds what a request waits for the API server.
///
/// # Errors
/// With what the work says, or that it took too long.
pub async fn in_time<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Refusal::Slow))
}

impl Refusal {
    /// Wraps an error of the API server.
    pub fn api(action: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { action, source: Box::new(source) }
    }

    /// One word for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "NoToken",
            Self::BadToken => "BadToken",
            Self::Forbidden(_) => "Forbidden",
            Self::Malformed(_) => "Malformed",
            Self::NotFound(_) => "NotFound",
            Self::NotNow(_) => "NotNow",
            Self::Api { .. } => "ApiServerRefused",
            Self::Slow => "ApiServerSlow",
            Self::Daemon { .. } => "DaemonUnreachable",
            Self::Sign(_) => "SignFailed",
        }
    }

    /// The HTTP status.
    pub const fn code(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotNow(_) => StatusCode::CONFLICT,
            Self::Api { .. } | Self::Slow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Daemon { .. } => StatusCode::BAD_GATEWAY,
            Self::Sign(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = crate::chain::Chain(&self).to_string();
        tracing::info!(reason = self.reason(), %text, "request refused");
        (self.code(), format!("{text}\n")).into_response()
    }
}
