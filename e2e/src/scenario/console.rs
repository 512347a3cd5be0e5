//! A server's serial console, reached as its owner would: through the
//! operator's endpoint, with a token.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::endpoint::OperatorEndpoint;
use crate::cluster::Cluster;

/// How long the guest may take for one command; a hang guard, no measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the shell of the guest `tiny` says when it waits for a command.
const PROMPT: &str = "tiny# ";

/// What a refused console said: HTTP status and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The text that came with it.
    pub message: String,
}

/// An open serial console with a shell behind it.
#[derive(Debug)]
pub struct Console {
    runtime: Runtime,
    stream: WebSocketStream<TlsStream<TcpStream>>,
    unread: String,
    commands: u32,
    _way: Option<OperatorEndpoint>,
}

impl Console {
    /// Opens the console of a server; the outer error is the machinery's, the
    /// inner one the operator's answer.
    pub fn open(
        endpoint: &OperatorEndpoint,
        server: (&str, &str),
        token: &str,
    ) -> Result<Result<Self, Refusal>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start a runtime")?;
        let (namespace, name) = server;
        let path = format!("console/v1/namespaces/{namespace}/virtualservers/{name}/serial");
        let opened = runtime.block_on(connect(endpoint, &path, token))?;
        Ok(opened.map(|stream| Self {
            runtime,
            stream,
            unread: String::new(),
            commands: 0,
            _way: None,
        }))
    }

    /// Opens the console of a server as one of its namespace's accounts, and
    /// waits for the shell behind it.
    pub fn log_in(cluster: &Cluster, server: (&str, &str), account: &str) -> Result<Self> {
        let endpoint = OperatorEndpoint::open(cluster)?;
        let token = super::console_token(cluster, server.0, account)?;
        let mut console = match Self::open(&endpoint, server, &token)? {
            Ok(console) => console.keep(endpoint),
            Err(refusal) => {
                bail!("{account} got no console: {} {}", refusal.status, refusal.message)
            }
        };
        console.login()?;
        Ok(console)
    }

    /// Keeps the way to the operator open for as long as the console.
    #[must_use]
    pub fn keep(self, way: OperatorEndpoint) -> Self {
        Self { _way: Some(way), ..self }
    }

    /// Waits for the shell's prompt, which comes once the guest is up.
    ///
    /// What is typed before that may be lost, so Enter is pressed again.
    pub fn login(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            self.send("\n")?;
            if self.read_within(PROMPT, Duration::from_secs(2))?.is_some() {
                // A second Enter may still be on its way to a second prompt.
                while self.read_within(PROMPT, Duration::from_millis(300))?.is_some() {}
                self.unread.clear();
                return Ok(());
            }
        }
        bail!("no shell after {} s; the console shows {:?}", PATIENCE.as_secs(), self.unread)
    }

    /// Logs in as root where a getty asks who it is, and no password is needed.
    pub fn login_as_root(&mut self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            self.send("\n")?;
            if self.read_within("login: ", Duration::from_secs(3))?.is_some() {
                break;
            }
            if started.elapsed() > limit {
                bail!("no login after {} s; the console shows {:?}", limit.as_secs(), self.unread);
            }
        }
        // A second Enter may still be on its way to a second prompt.
        while self.read_within("login: ", Duration::from_secs(1))?.is_some() {}
        self.send("root\n")?;
        self.read_until("# ")?;
        // Long lines would be scrolled sideways by the shell's line editor.
        self.send("stty rows 24 cols 2000\n")?;
        self.read_until("# ").map(|_| ())
    }

    /// Runs a command in the guest's shell and returns what it printed.
    pub fn run(&mut self, command: &str) -> Result<String> {
        self.commands += 1;
        // The shell echoes what is typed; only its output has the sums worked out.
        let number = self.commands;
        let typed = format!("echo s$(({number}+1000))t; {command}; echo e$(({number}+1000))d\n");
        let start = format!("s{}t", number + 1000);
        let end = format!("e{}d", number + 1000);
        self.send(&typed)?;
        let text =
            self.read_until(&end).with_context(|| format!("run `{command}` in the guest"))?;
        let (_, printed) = text
            .split_once(&start)
            .with_context(|| format!("no start of `{command}` in {text:?}"))?;
        let printed = printed.strip_suffix(&end).unwrap_or(printed);
        Ok(printed.replace('\r', "").trim().to_owned())
    }

    /// Waits until the console shows a text and returns all up to it.
    pub fn read_until(&mut self, wanted: &str) -> Result<String> {
        match self.read_within(wanted, PATIENCE)? {
            Some(text) => Ok(text),
            None => bail!("{wanted:?} did not come; the console shows {:?}", self.unread),
        }
    }

    fn read_within(&mut self, wanted: &str, limit: Duration) -> Result<Option<String>> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if let Some(at) = self.unread.find(wanted) {
                let rest = self.unread.split_off(at + wanted.len());
                return Ok(Some(std::mem::replace(&mut self.unread, rest)));
            }
            let next = async { timeout_at(deadline, self.stream.next()).await };
            match self.runtime.block_on(next) {
                Err(_) => return Ok(None),
                Ok(None) => bail!("the console was closed; it showed {:?}", self.unread),
                Ok(Some(Err(error))) => return Err(error).context("read the console"),
                Ok(Some(Ok(Message::Close(why)))) => bail!("the console was closed: {why:?}"),
                Ok(Some(Ok(message))) => {
                    self.unread.push_str(&String::from_utf8_lossy(&message.into_data()));
                }
            }
        }
    }

    /// Types into the console.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let message = Message::binary(text.as_bytes().to_vec());
        self.runtime.block_on(self.stream.send(message)).context("type into the console")
    }
}

async fn connect(
    endpoint: &OperatorEndpoint,
    path: &str,
    token: &str,
) -> Result<Result<WebSocketStream<TlsStream<TcpStream>>, Refusal>> {
    let tcp = TcpStream::connect(endpoint.address()).await.context("connect to the operator")?;
    let name = ServerName::try_from(OperatorEndpoint::SERVER_NAME).context("name the operator")?;
    let tls = TlsConnector::from(endpoint.tls())
        .connect(name, tcp)
        .await
        .context("speak TLS with the operator")?;
    let url = format!("wss://{}/{path}", OperatorEndpoint::SERVER_NAME);
    let mut request = url.into_client_request().context("address the console")?;
    let bearer = format!("Bearer {token}").parse().context("put the token in a header")?;
    request.headers_mut().insert("authorization", bearer);
    match tokio_tungstenite::client_async(request, tls).await {
        Ok((stream, _)) => Ok(Ok(stream)),
        Err(WebSocketError::Http(answer)) => Ok(Err(Refusal {
            status: answer.status().as_u16(),
            message: answer
                .body()
                .as_deref()
                .map(|body| String::from_utf8_lossy(body).trim().to_owned())
                .unwrap_or_default(),
        })),
        Err(error) => Err(error).context("open the console"),
    }
}
