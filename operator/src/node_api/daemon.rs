//! The way to a node-daemon: mutual TLS, in which each end proves its name.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures::StreamExt;
use rcgen::KeyPair;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, ClientRequestBuilder};

use super::ca::Authority;
use super::certificate::name_of_daemon;

/// The operator's name in the certificate that it shows to daemons.
const OPERATOR_NAME: &str = "operator.suigen";
/// Longest wait for a daemon's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A new client certificate is made after this; it is good for seven days.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The largest serial log that is passed on.
const MOST_LOG: u64 = 1 << 20;

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not answer in time.
    #[error("no answer in {} s", PATIENCE.as_secs())]
    Timeout,
    /// Its endpoint is no address.
    #[error("its endpoint {0:?} is no address and port")]
    Endpoint(String),
    /// The connection failed.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It answered, but not with what was asked for.
    #[error("it answered: {0}")]
    Answer(String),
    /// The WebSocket could not be opened.
    #[error("open the console")]
    WebSocket(#[source] Box<tungstenite::Error>),
    /// No certificate to show.
    #[error("make a certificate to show to daemons: {0}")]
    Certificate(String),
}

/// An open console.
pub type Console = WebSocketStream<TlsStream<TcpStream>>;

/// A daemon, and how to reach it.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Its node.
    pub node: String,
    /// Its `address:port`.
    pub endpoint: String,
}

/// Speaks to daemons.
pub struct Daemons {
    roots: Arc<RootCertStore>,
    config: Mutex<Option<(Instant, Arc<ClientConfig>)>>,
}

impl fmt::Debug for Daemons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemons").finish_non_exhaustive()
    }
}

impl Daemons {
    /// Trusts what the authority signed, and nothing else.
    ///
    /// # Errors
    /// When the authority's certificate cannot be read.
    pub fn new(authority: &Authority) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(authority.certificate.as_bytes())
            .map_err(|error| Error::Certificate(error.to_string()))?;
        roots.add(certificate).map_err(|error| Error::Certificate(error.to_string()))?;
        Ok(Self { roots: Arc::new(roots), config: Mutex::default() })
    }

    fn config(&self, authority: &Authority) -> Result<Arc<ClientConfig>, Error> {
        let mut kept = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, config)) = &*kept
            && since.elapsed() < RENEW_AFTER
        {
            return Ok(config.clone());
        }
        let (chain, key) = identity(authority, vec![OPERATOR_NAME.to_owned()])?;
        let config = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(chain, key)
            .map_err(|error| Error::Certificate(error.to_string()))?;
        let config = Arc::new(config);
        *kept = Some((Instant::now(), config.clone()));
        Ok(config)
    }

    async fn connect(
        &self,
        authority: &Authority,
        daemon: &Daemon,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let bad = || Error::Endpoint(daemon.endpoint.clone());
        let address: SocketAddr = daemon.endpoint.parse().map_err(|_| bad())?;
        let name = ServerName::try_from(name_of_daemon(&daemon.node)).map_err(|_| bad())?;
        let connector = TlsConnector::from(self.config(authority)?);
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            connector.connect(name, stream).await
        };
        within(async { connect.await.map_err(|source| Error::Connect { address, source }) }).await
    }

    /// Opens the serial console of a server.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or has no console of that server.
    pub async fn console(
        &self,
        authority: &Authority,
        daemon: &Daemon,
        uid: &str,
    ) -> Result<Console, Error> {
        let stream = self.connect(authority, daemon).await?;
        let uri = format!("wss://{}/console/v1/servers/{uid}/serial", name_of_daemon(&daemon.node));
        let uri = uri.parse().map_err(|_| Error::Endpoint(daemon.endpoint.clone()))?;
        let opened = tokio_tungstenite::client_async(ClientRequestBuilder::new(uri), stream);
        within(async {
            match opened.await {
                Ok((console, _)) => Ok(console),
                Err(tungstenite::Error::Http(answer)) => Err(Error::Answer(said(&answer))),
                Err(error) => Err(Error::WebSocket(Box::new(error))),
            }
        })
        .await
    }

    /// Fetches the tail of a server's serial log.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or has no log of that server.
    pub async fn serial_log(
        &self,
        authority: &Authority,
        daemon: &Daemon,
        uid: &str,
    ) -> Result<Bytes, Error> {
        let mut stream = self.connect(authority, daemon).await?;
        let name = name_of_daemon(&daemon.node);
        // HTTP/1.0: the answer comes in one piece and ends with the connection.
        let request =
            format!("GET /console/v1/servers/{uid}/serial-log HTTP/1.0\r\nHost: {name}\r\n\r\n");
        let broken = |error: std::io::Error| Error::Answer(error.to_string());
        within(async {
            stream.write_all(request.as_bytes()).await.map_err(broken)?;
            let mut answer = Vec::new();
            let read = (&mut stream).take(MOST_LOG).read_to_end(&mut answer).await;
            // A peer that closes without TLS's farewell has still said it all.
            match read {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(broken(error)),
            }
            body(&answer)
        })
        .await
    }
}

fn said(answer: &tungstenite::http::Response<Option<Vec<u8>>>) -> String {
    let text = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    format!("{} {}", answer.status(), text.trim()).trim().to_owned()
}

/// Splits an HTTP answer; only 200 has a body worth having.
fn body(answer: &[u8]) -> Result<Bytes, Error> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else { return Err(Error::Answer("no HTTP".into())) };
    let head = String::from_utf8_lossy(&answer[..end]);
    let body = &answer[end + 4..];
    match head.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(Bytes::copy_from_slice(body)),
        code => {
            let text = String::from_utf8_lossy(body);
            Err(Error::Answer(format!("{} {}", code.unwrap_or("no HTTP"), text.trim())))
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Error::Timeout))
}

/// A fresh key with a certificate for these names.
///
/// # Errors
/// When it cannot be made.
pub fn identity(
    authority: &Authority,
    names: Vec<String>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let failed = |error: rcgen::Error| Error::Certificate(error.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = authority.sign(names, &key).map_err(failed)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((vec![certificate.der().clone()], key.into()))
}

/// Reads the next bytes that a console says; none when it is over.
pub async fn next_bytes(console: &mut Console) -> Option<Bytes> {
    loop {
        match console.next().await?.ok()? {
            tungstenite::Message::Binary(bytes) => return Some(bytes),
            tungstenite::Message::Text(text) => return Some(text.into()),
            tungstenite::Message::Close(_) => return None,
            tungstenite::Message::Ping(_)
            | tungstenite::Message::Pong(_)
            | tungstenite::Message::Frame(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "daemon_tests.rs"]
mod tests;
