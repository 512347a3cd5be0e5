//! Requests to the operator's HTTPS server, with the daemon's projected token.
//! The operator's address is an IP or a Service's name; its certificate names
//! it [`TLS_NAME`] wherever it is.

use std::fmt;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::api::Api;

/// The operator's name in its certificate.
const TLS_NAME: &str = "suigen-operator";
/// How long a whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Where the operator is, and what is shown to it.
#[derive(Debug, Clone)]
pub struct Operator {
    /// `host:port`.
    pub address: String,
    /// The projected token.
    pub token: PathBuf,
}

/// Why the operator could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The ConfigMap `suigen-ca` cannot be read or is not there yet.
    #[error("read the system's CA from ConfigMap suigen-ca: {0}")]
    Ca(String),
    /// The projected token cannot be read.
    #[error("read the token {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There was no answer.
    #[error("reach the operator at {address}: {why}")]
    NoAnswer {
        /// Where it was looked for.
        address: String,
        /// Why not.
        why: String,
    },
}

impl OperatorError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Ca(_) => "CaUnavailable",
            Self::Token { .. } => "TokenUnavailable",
            Self::NoAnswer { .. } => "OperatorUnreachable",
        }
    }
}

/// An answer, whatever it says.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; possibly a secret.
    pub body: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

impl Answer {
    /// Whether the operator did what it was asked for.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

/// The CA that the operator's certificate must be of, as PEM.
///
/// # Errors
/// When it cannot be read.
pub async fn system_ca(api: &Api) -> Result<String, OperatorError> {
    let map = api
        .read_config_map("suigen-ca")
        .await
        .map_err(|error| OperatorError::Ca(error.to_string()))?
        .ok_or_else(|| OperatorError::Ca("it does not exist yet".into()))?;
    map.data
        .and_then(|mut data| data.remove("ca.crt"))
        .ok_or_else(|| OperatorError::Ca("it has no key ca.crt".into()))
}

/// Gets `path` (with its query).
///
/// # Errors
/// When there is no answer.
pub async fn get(operator: &Operator, ca: String, path: String) -> Result<Answer, OperatorError> {
    exchange(operator, ca, move |agent, base, token| {
        agent.get(format!("{base}{path}")).header("authorization", token).call()
    })
    .await
}

/// Posts a PEM file to `path`.
///
/// # Errors
/// When there is no answer.
pub async fn post_pem(
    operator: &Operator,
    ca: String,
    path: &'static str,
    body: String,
) -> Result<Answer, OperatorError> {
    exchange(operator, ca, move |agent, base, token| {
        agent
            .post(format!("{base}{path}"))
            .header("authorization", token)
            .header("content-type", "application/x-pem-file")
            .send(body)
    })
    .await
}

async fn exchange(
    operator: &Operator,
    ca: String,
    ask: impl FnOnce(&Agent, &str, &str) -> Result<Response<Body>, ureq::Error> + Send + 'static,
) -> Result<Answer, OperatorError> {
    let operator = operator.clone();
    let address = operator.address.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let failed =
            |why: String| OperatorError::NoAnswer { address: operator.address.clone(), why };
        let (_, port) = operator
            .address
            .rsplit_once(':')
            .ok_or_else(|| failed("its address has no port".into()))?;
        let agent = agent(&operator.address, &ca)?;
        let token = std::fs::read_to_string(&operator.token)
            .map_err(|source| OperatorError::Token { path: operator.token.clone(), source })?;
        let bearer = format!("Bearer {}", token.trim());
        let mut answer = ask(&agent, &format!("https://{TLS_NAME}:{port}"), &bearer)
            .map_err(|error| failed(error.to_string()))?;
        let body = answer.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
        Ok(Answer { status: answer.status().as_u16(), body })
    });
    let stopped =
        |error: tokio::task::JoinError| OperatorError::NoAnswer { address, why: error.to_string() };
    asked.await.map_err(stopped)?
}

fn agent(address: &str, ca: &str) -> Result<Agent, OperatorError> {
    let roots = CertificateDer::pem_slice_iter(ca.as_bytes())
        .map(|ca| ca.map(|ca| Certificate::from_der(&ca).to_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| OperatorError::Ca(error.to_string()))?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .https_only(true)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .build();
    let resolver = Fixed(address.to_owned());
    Ok(Agent::with_parts(config, DefaultConnector::default(), resolver))
}

/// Sends every request to one address, whatever name its URL has.
#[derive(Debug)]
struct Fixed(String);

impl Resolver for Fixed {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        for address in self.0.to_socket_addrs().map_err(|_| ureq::Error::HostNotFound)?.take(4) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}
