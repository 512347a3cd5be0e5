//! The node's certificate: asked of the operator with the daemon's projected
//! token, kept on the node (a restart must not need the operator), renewed long
//! before it ends. The key never leaves the node.

mod request;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::metrics::Reason;
use crate::operator_client::{OperatorError, system_ca};
use crate::report::runtime::explain;
use crate::vm::backoff;
use crate::vm::node::Node;

/// Certificates are valid for seven days; a daily renewal leaves six to an
/// outage of the operator.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);
/// How often the system's CA is compared with the one that is trusted.
const LOOK_AT_CA: Duration = Duration::from_secs(300);

/// The files of an identity, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pem {
    /// The private key.
    pub key: String,
    /// The certificate.
    pub certificate: String,
    /// The CA that the operator's client certificate must be of.
    pub ca: String,
}

/// What the console's listener works with.
#[derive(Debug)]
pub struct Identity {
    /// Mutual TLS.
    pub server: Arc<ServerConfig>,
}

/// Why the node has no certificate, or keeps an older one.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The operator could not be asked.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A key or request cannot be made.
    #[error("make a key and a request")]
    Generate(#[source] rcgen::Error),
    /// The operator declined.
    #[error("ask the operator for a certificate: {0}")]
    Declined(String),
    /// The answer, or what is stored, is no usable certificate.
    #[error("use the certificate: {0}")]
    Unusable(String),
    /// The files cannot be kept.
    #[error("keep the certificate in {}", path.display())]
    Store {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl CertificateError {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Operator(error) => error.reason(),
            Self::Generate(_) => "KeyGenerationFailed",
            Self::Declined(_) => "OperatorDeclined",
            Self::Unusable(_) => "CertificateUnusable",
            Self::Store { .. } => "CertificateNotKept",
        }
    }
}

/// Keeps an identity in `identity`.
pub async fn keep(node: Arc<Node>, identity: watch::Sender<Option<Arc<Identity>>>) {
    let mut kept = store::load(&node.paths.tls_dir());
    if let Some((pem, _)) = &kept {
        identity.send_replace(usable(pem));
    }
    let mut failures = 0;
    loop {
        let pause = match renew_if_due(&node, &mut kept).await {
            Ok(()) => {
                failures = 0;
                LOOK_AT_CA
            }
            Err(error) => {
                failures += 1;
                let reason = error.reason();
                node.metrics.certificate_errors.get_or_create(&Reason { reason }).inc();
                tracing::warn!(reason, error = %explain(&error), "no new certificate");
                backoff::delay(failures)
            }
        };
        if let Some((pem, _)) = &kept {
            identity.send_replace(usable(pem));
        }
        tokio::time::sleep(pause).await;
    }
}

async fn renew_if_due(
    node: &Node,
    kept: &mut Option<(Pem, Duration)>,
) -> Result<(), CertificateError> {
    let ca = system_ca(&node.api).await?;
    let due = match kept.as_ref() {
        Some((pem, obtained)) => {
            pem.ca != ca || store::now().saturating_sub(*obtained) >= RENEW_AFTER
        }
        None => true,
    };
    if due {
        let name = format!("{}.hypervisor.suigen", node.api.me.node);
        let pem = request::obtain(&node.operator, name, ca).await?;
        Identity::new(&pem)?;
        store::keep(&node.paths.tls_dir(), &pem)?;
        tracing::info!("certificate obtained");
        *kept = Some((pem, store::now()));
    }
    Ok(())
}

fn usable(pem: &Pem) -> Option<Arc<Identity>> {
    Identity::new(pem).ok().map(Arc::new)
}

impl Identity {
    /// Puts an identity to use.
    ///
    /// # Errors
    /// When key, certificate and CA do not make one.
    pub fn new(pem: &Pem) -> Result<Self, CertificateError> {
        Ok(Self { server: server_config(pem)? })
    }
}

/// TLS 1.3 or 1.2, clients of our CA only.
fn server_config(pem: &Pem) -> Result<Arc<ServerConfig>, CertificateError> {
    let unusable = |error: &dyn std::fmt::Display| CertificateError::Unusable(error.to_string());
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(pem.ca.as_bytes()) {
        roots.add(ca.map_err(|e| unusable(&e))?).map_err(|e| unusable(&e))?;
    }
    let chain = CertificateDer::pem_slice_iter(pem.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(&e))?;
    let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).map_err(|e| unusable(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| unusable(&e))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| unusable(&e))?;
    Ok(Arc::new(config))
}
