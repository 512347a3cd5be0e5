//! The listener: one handshake a task, so that a slow client delays nobody.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::{Metrics, Reason};
use crate::node_certificate::Identity;

/// The name in the operator's client certificate.
pub const OPERATOR_NAME: &str = "operator.suigen";
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a connection was not served.
#[derive(Debug, thiserror::Error)]
enum Unserved {
    #[error("this node has no certificate yet")]
    NoIdentity,
    #[error("the TLS handshake failed")]
    Handshake(#[source] std::io::Error),
    #[error("the TLS handshake took too long")]
    Slow,
    #[error("the client is not the operator")]
    NotOperator,
}

impl Unserved {
    const fn reason(&self) -> &'static str {
        match self {
            Self::NoIdentity => "NoCertificate",
            Self::Handshake(_) => "HandshakeFailed",
            Self::Slow => "HandshakeTimeout",
            Self::NotOperator => "NotOperator",
        }
    }
}

/// Accepts until `stop`; then waits for nobody: consoles are to be opened again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    identity: watch::Receiver<Option<Arc<Identity>>>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        // A failed accept is a client that went away or a lack of descriptors.
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (router, metrics, stop) = (router.clone(), metrics.clone(), stop.clone());
        let identity = identity.borrow().clone();
        connections.spawn(async move {
            let work = connection(stream, identity, router);
            let result = tokio::select! {
                result = work => result,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = result {
                let reason = error.reason();
                metrics.console_sessions.get_or_create(&Reason { reason }).inc();
                tracing::warn!(%peer, reason, %error, "console connection refused");
            }
        });
    }
    connections.close();
    connections.wait().await;
}

async fn connection(
    stream: TcpStream,
    identity: Option<Arc<Identity>>,
    router: Router,
) -> Result<(), Unserved> {
    let identity = identity.ok_or(Unserved::NoIdentity)?;
    let acceptor = TlsAcceptor::from(identity.server.clone());
    let tls = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| Unserved::Slow)?
        .map_err(Unserved::Handshake)?;
    if !is_operator(&tls) {
        return Err(Unserved::NotOperator);
    }
    // Whatever ends a connection after this is the client's affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(tls), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    Ok(())
}

fn is_operator(tls: &TlsStream<TcpStream>) -> bool {
    let Ok(name) = ServerName::try_from(OPERATOR_NAME) else { return false };
    let certificates = tls.get_ref().1.peer_certificates();
    certificates
        .and_then(<[_]>::first)
        .and_then(|certificate| ParsedCertificate::try_from(certificate).ok())
        .is_some_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}
