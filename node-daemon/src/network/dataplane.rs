//! Puts the parts together: brings the kernel to what is desired, once or for
//! as long as it is asked to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use suigen_crds::ident::Uid;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::apply::{self, Failure, Kernel};
use super::desired::Desired;
use super::dhcp::Responders;
use super::diff::{self, ForeignLink, Op};
use super::ident::LinkName;
use super::netlink::{self, netns};
use super::nft::{self, Nft, Reading};
use super::observe::{self, Observed};
use super::tap::{self, Framing};
use super::topology::Topology;
use super::watch::{self as changes, Watch};

/// Changes come in groups; they are looked at together.
const SETTLE: Duration = Duration::from_millis(50);
/// How soon a failed operation is tried again, and how often everything is
/// looked at without a notification.
const RETRY: Duration = Duration::from_secs(2);
const RESYNC: Duration = Duration::from_secs(300);

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
    /// One reads or changes at a time: a plan holds for what was read, and the
    /// kernel lists one table at a time to a socket.
    turn: Arc<Mutex<()>>,
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
    /// The kernel's numbers of the links that are there now.
    pub indices: BTreeMap<LinkName, u32>,
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
        let (host, task) = netlink::connect()?;
        tokio::spawn(task);
        let runtime = tokio::runtime::Handle::current();
        let (tenants, task) = namespace.run(|| {
            let _inside = runtime.enter();
            netlink::connect()
        })??;
        tokio::spawn(task);
        let kernel = Kernel { host, tenants, namespace, nft };
        Ok(Self { kernel, intact, turn: Arc::default() })
    }

    /// Reads what the kernel holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn observe(&self) -> Result<Observed, observe::Error> {
        let _turn = self.turn.lock().await;
        self.look().await
    }

    async fn look(&self) -> Result<Observed, observe::Error> {
        let Kernel { host: _, tenants, namespace, nft } = &self.kernel;
        observe::observe(tenants, namespace, nft, &self.intact).await
    }

    /// Brings the kernel to what is desired. May be called again: where all is
    /// as it should be, nothing is sent that changes anything.
    ///
    /// # Errors
    /// When the kernel's state cannot be read; failed changes are in the
    /// report.
    pub async fn reconcile(&self, desired: &Desired) -> Result<Report, Error> {
        let _turn = self.turn.lock().await;
        let observed = self.look().await?;
        let plan = diff::plan(&observed, &Topology::of(desired));
        let mut indices = observed.indices;
        let failures = apply::apply(&self.kernel, &plan.ops, &mut indices).await;
        Ok(Report { ops: plan.ops, foreign: plan.foreign, failures, indices })
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
        let watch = Watch::begin(&self.kernel.namespace)?;
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
            let pause = if complete { RESYNC } else { RETRY };
            drop(reports.send_replace(outcome));
            let fed = async {
                // Whoever feeds us is gone: what was asked for last stands.
                if desired.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                changed = watch.changed() => changed?,
                () = fed => {}
                () = tokio::time::sleep(pause) => {}
            }
            tokio::time::sleep(SETTLE).await;
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
