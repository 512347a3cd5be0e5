//! Puts the parts together: brings the kernel to what is desired, once or for
//! as long as it is asked to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use suigen_crds::ident::Uid;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::apply::{Failure, Kernel};
use super::desired::Desired;
use super::dhcp::Responders;
use super::diff::{ForeignLink, Op};
use super::ident::LinkName;
use super::netlink::generation::Generations;
use super::netlink::requests::Requests;
use super::netlink::{self, netns};
use super::nft::{self, Nft, Reading};
use super::observe::{self, Observed};
use super::scope::Scope;
use super::tap::{self, Framing};
use super::watch::{self as changes, Watch};

mod state;

use state::{RESYNC, State};

/// What the kernel tells comes in groups; it is looked at together.
const SETTLE: Duration = Duration::from_millis(50);
/// How soon a failed operation is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Where the data plane lives.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that the namespace is bound to.
    pub namespace: PathBuf,
    /// The nft binary.
    pub nft: PathBuf,
}

/// The tenants' data plane of this node.
#[derive(Debug, Clone)]
pub struct DataPlane {
    kernel: Kernel,
    intact: Arc<Reading>,
    watch: Arc<Watch>,
    /// One reads or changes at a time: a plan holds for what was read, and the
    /// kernel lists one table at a time to a socket.
    state: Arc<Mutex<State>>,
}

/// Why the data plane cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No namespace.
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    /// The rules do not work on this node.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// The kernel's state cannot be read.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// Changes cannot be watched.
    #[error(transparent)]
    Watch(#[from] changes::Error),
    /// No connection to the kernel.
    #[error("connect to the kernel")]
    Connect(#[from] std::io::Error),
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Namespace(error) => error.reason(),
            Self::Nft(error) => error.reason(),
            Self::Observe(error) => error.reason(),
            Self::Watch(error) => error.reason(),
            Self::Connect(_) => "NetlinkUnavailable",
        }
    }
}

/// What one reconcile did.
#[derive(Debug, Default)]
pub struct Report {
    /// The operations, those that failed among them.
    pub ops: Vec<Op>,
    /// Links that stand in the way.
    pub foreign: Vec<ForeignLink>,
    /// What failed; it is tried again.
    pub failures: Vec<Failure>,
    /// The kernel's numbers of all our links that are there now.
    pub indices: Arc<BTreeMap<LinkName, u32>>,
    /// How often everything was read since the start.
    pub full_reads: u64,
}

impl Report {
    /// Whether the kernel holds what is desired.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.foreign.is_empty() && self.failures.is_empty()
    }
}

impl DataPlane {
    /// Finds or makes the namespace, and makes sure that this node can do what
    /// the data plane needs. Changes nothing that is there. Called within a
    /// tokio runtime, in the node's own network namespace.
    ///
    /// # Errors
    /// When the node cannot do it.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let nft = Nft::new(&config.nft);
        let intact = Arc::new(nft.rehearse().await?);
        let namespace = netns::Namespace::ensure(&config.namespace)?;
        let host = Requests::open()?;
        let runtime = tokio::runtime::Handle::current();
        let inside = namespace.run(|| {
            let _inside = runtime.enter();
            let (listing, task) = netlink::connect()?;
            Ok::<_, std::io::Error>((Requests::open()?, Generations::open()?, listing, task))
        })?;
        let (tenants, generations, listing, task) = inside?;
        tokio::spawn(task);
        // From here on, so that what is read first misses nothing.
        let watch = Arc::new(Watch::begin(&namespace)?);
        let state = Arc::new(Mutex::new(State::new(Arc::clone(&watch))));
        let kernel = Kernel { host, tenants, listing, generations, namespace, nft };
        Ok(Self { kernel, intact, watch, state })
    }

    /// Reads all that the kernel holds, whatever is known of it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn observe(&self) -> Result<Observed, observe::Error> {
        let _turn = self.state.lock().await;
        let Kernel { listing, namespace, nft, .. } = &self.kernel;
        let cache = observe::dump(listing).await?;
        let (rules, elements) = observe::rules(namespace, nft, &self.intact).await?;
        Ok(Scope::Everything.observed(&cache, rules, &elements))
    }

    /// What is known of the kernel, when all that it told was taken in.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn known(&self) -> Result<Observed, Error> {
        self.state.lock().await.known(&self.kernel, &self.intact).await
    }

    /// Brings the kernel to what is desired. May be called again: where all is
    /// as it should be, nothing is sent that changes anything. The first time
    /// everything is read; from then on the kernel tells what changes, and a
    /// change costs what it touches.
    ///
    /// # Errors
    /// When the kernel's state cannot be read; failed changes are in the
    /// report.
    pub async fn reconcile(&self, desired: &Desired) -> Result<Report, Error> {
        self.state.lock().await.reconcile(&self.kernel, &self.intact, desired).await
    }

    /// Keeps the kernel at what is desired, repairs what others change, and
    /// answers DHCP, until `stop`. What was set up stays. Every look at the
    /// kernel is reported, as is that it failed; it is tried again.
    ///
    /// # Errors
    /// When changes can no longer be watched.
    pub async fn run(
        &self,
        mut desired: watch::Receiver<Desired>,
        reports: watch::Sender<Result<Report, Error>>,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let mut responders = Responders::new(self.kernel.namespace.clone());
        loop {
            let now = desired.borrow_and_update().clone();
            let outcome = self.reconcile(&now).await;
            match &outcome {
                Ok(report) => responders.serve(&now, &report.indices).await,
                // What was set up works on, and so do the responders.
                Err(error) => tracing::warn!(reason = error.reason(), %error, "not reconciled"),
            }
            let complete = outcome.as_ref().is_ok_and(Report::is_complete);
            let pause = match complete {
                true if self.state.lock().await.is_dirty() => SETTLE,
                true => RESYNC,
                false => RETRY,
            };
            drop(reports.send_replace(outcome));
            let fed = async {
                // Whoever feeds us is gone: what was asked for last stands.
                if desired.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                told = self.watch.told() => {
                    told?;
                    tokio::time::sleep(SETTLE).await;
                }
                () = fed => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        responders.stop().await;
        Ok(())
    }

    /// Opens the tap of a port for the server's QEMU, which is given the
    /// descriptor: `-netdev tap,fd=N` at start, or `getfd` over QMP.
    ///
    /// # Errors
    /// When the port has no tap yet, or a process has it open.
    pub fn attach(&self, port: &Uid) -> Result<std::os::fd::OwnedFd, tap::Error> {
        tap::attach(&self.kernel.namespace, &LinkName::tap(port), Framing::Virtio)
    }

    /// The tenants' namespace.
    #[must_use]
    pub const fn namespace(&self) -> &netns::Namespace {
        &self.kernel.namespace
    }
}
