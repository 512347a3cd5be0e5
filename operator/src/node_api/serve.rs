//! The HTTPS listener. Each connection has its own task; a slow or silent peer
//! holds up nobody.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ca::Authority;
use super::{Shared, daemon};

/// Most connections at a time.
const MOST_CONNECTIONS: usize = 1024;
/// Longest wait for a handshake, and for a request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// A new serving certificate is made after this; it is good for seven days.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);
/// How long open streams may go on after the stop.
const GRACE: Duration = Duration::from_secs(3);

/// Why the endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be bound.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No certificate to serve with.
    #[error("make the serving certificate")]
    Certificate(#[from] daemon::Error),
    /// TLS does not take the certificate.
    #[error("use the serving certificate")]
    Tls(#[source] rustls::Error),
}

/// The serving certificate, renewed before it ends.
pub struct Identity {
    names: Vec<String>,
    since: Instant,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Identity {
    /// A certificate for the names of the operator's Service.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(authority: &Authority, namespace: &str) -> Result<Self, Error> {
        let service = "suigen-operator";
        let names = vec![
            service.to_owned(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
        ];
        let config = config(authority, names.clone())?;
        Ok(Self { names, since: Instant::now(), config })
    }

    fn current(&mut self, authority: &Authority) -> Arc<ServerConfig> {
        if self.since.elapsed() > RENEW_AFTER {
            match config(authority, self.names.clone()) {
                Ok(config) => (self.config, self.since) = (config, Instant::now()),
                Err(error) => tracing::warn!(%error, "the old serving certificate stays"),
            }
        }
        self.config.clone()
    }
}

fn config(authority: &Authority, names: Vec<String>) -> Result<Arc<ServerConfig>, Error> {
    let (chain, key) = daemon::identity(authority, names)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(Error::Tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Binds the address.
///
/// # Errors
/// When it cannot be bound.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Serves until told to stop.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut identity: Identity,
    shared: &Shared,
    stop: CancellationToken,
) {
    let seats = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = seat(&listener, &seats) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let acceptor = TlsAcceptor::from(identity.current(&shared.authority));
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn(async move {
            let last_call = async {
                stop.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                () = last_call => {}
                () = connection(stream, acceptor, router) => {}
            }
            drop(permit);
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn seat(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = seats.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "accept a connection");
            None
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else {
        return;
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}
