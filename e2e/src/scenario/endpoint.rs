//! The operator's HTTPS endpoint, reached through `kubectl port-forward`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::cluster::Cluster;

/// An open way to one operator pod. It ends with that pod.
#[derive(Debug)]
pub struct OperatorEndpoint {
    forward: Child,
    address: String,
    tls: Arc<ClientConfig>,
}

impl OperatorEndpoint {
    /// The name in the operator's certificate.
    pub const SERVER_NAME: &str = "suigen-operator";

    /// Forwards a free loopback port to the operator's Service.
    pub fn open(cluster: &Cluster) -> Result<Self> {
        let ca = cluster.kubectl(&[
            "--namespace=suigen-system",
            "get",
            "configmap",
            "suigen-ca",
            r"--output=jsonpath={.data.ca\.crt}",
        ])?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.context("read the operator's CA")?).context("trust it")?;
        }
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut forward = cluster
            .kubectl_command()
            .args(["--namespace=suigen-system", "port-forward"])
            .args(["service/suigen-operator", ":8443"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("run kubectl port-forward")?;
        let output = forward.stdout.take().context("take the output of kubectl port-forward")?;
        let mut endpoint = Self { forward, address: String::new(), tls: Arc::new(tls) };
        let mut line = String::new();
        let mut reader = BufReader::new(output);
        reader.read_line(&mut line).context("read what kubectl port-forward says")?;
        // "Forwarding from 127.0.0.1:41234 -> 8443"
        endpoint.address = line
            .split_whitespace()
            .find(|word| word.starts_with("127.0.0.1:"))
            .with_context(|| format!("kubectl port-forward said {line:?}"))?
            .to_owned();
        // Whoever reads no further would block kubectl on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Ok(endpoint)
    }

    /// Asks for a path with a token; returns the HTTP status and the body.
    pub fn get(&self, path: &str, token: &str) -> Result<(u16, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?;
        let answer = runtime.block_on(self.ask(path, token))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
        let status = head.split(' ').nth(1).context("no status")?;
        Ok((status.parse().context("read the status")?, body.to_owned()))
    }

    async fn ask(&self, path: &str, token: &str) -> Result<String> {
        let tcp = TcpStream::connect(self.address()).await.context("connect to the operator")?;
        let name = ServerName::try_from(Self::SERVER_NAME).context("name the operator")?;
        let connector = TlsConnector::from(self.tls());
        let mut stream = connector.connect(name, tcp).await.context("speak TLS")?;
        let host = Self::SERVER_NAME;
        // HTTP/1.0: the answer ends with the connection and comes in one piece.
        let request =
            format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.context("ask the operator")?;
        let mut answer = String::new();
        // An end without TLS's own farewell is an end all the same.
        match stream.read_to_string(&mut answer).await {
            Err(error) if answer.is_empty() => Err(error).context("read the answer"),
            _ => Ok(answer),
        }
    }

    /// The loopback address and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How to verify the operator.
    pub fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }
}

impl Drop for OperatorEndpoint {
    fn drop(&mut self) {
        // The process may be gone with the pod it led to.
        let _ = self.forward.kill();
        let _ = self.forward.wait();
    }
}
