//! The Kubernetes API: quorum reads before acting, watches that only wake, and
//! writes of what differs.

pub mod hypervisor;
pub mod lease;
pub mod network;
pub mod read;
pub mod watch;
pub mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::{Client, Config};

use crate::metrics::Metrics;
use crate::right::decide::Me;

pub use read::ReadError;
pub use write::WriteError;

/// The name under which this daemon writes.
pub const FIELD_MANAGER: &str = "suigen-node-daemon";
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a watch may be silent: bookmarks come every minute, so this is a
/// connection that died without a word.
const SILENCE: Duration = Duration::from_secs(180);

/// A connection to the API server, and who uses it. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    client: Client,
    /// This node and its log.
    pub me: Me,
    /// Namespace of the system.
    pub namespace: String,
    metrics: Metrics,
    may_write: Arc<AtomicBool>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Api {
    /// Prepares the connection; nothing is sent yet, so this works while the
    /// API server is away.
    ///
    /// # Errors
    /// When neither a kubeconfig nor a pod's service account is there.
    pub async fn prepare(me: Me, namespace: String, metrics: Metrics) -> anyhow::Result<Self> {
        Ok(Self::new(Config::infer().await?, me, namespace, metrics)?)
    }

    /// The same, for a server that is known.
    ///
    /// # Errors
    /// When the configuration makes no client.
    pub fn new(
        mut config: Config,
        me: Me,
        namespace: String,
        metrics: Metrics,
    ) -> Result<Self, kube::Error> {
        config.read_timeout = Some(SILENCE);
        Ok(Self {
            client: Client::try_from(config)?,
            me,
            namespace,
            metrics,
            may_write: Arc::default(),
        })
    }

    /// Whether the CRDs are known to be at least as new as this daemon. Before,
    /// every write fails: an older schema would drop what it does not know.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.may_write.load(Ordering::Acquire)
    }

    /// Says that they are.
    pub fn allow_writes(&self) {
        self.may_write.store(true, Ordering::Release);
    }

    fn namespaced<K>(&self, namespace: &str) -> kube::Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        kube::Api::namespaced(self.client.clone(), namespace)
    }

    fn cluster<K>(&self) -> kube::Api<K>
    where
        K: kube::Resource,
        K::DynamicType: Default,
    {
        kube::Api::all(self.client.clone())
    }
}
