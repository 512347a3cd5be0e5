//! What all tasks of a node share.

use std::sync::{Arc, OnceLock};

use suigen_crds::hypervisor::{Acceleration, Bundle};
use suigen_crds::ident::BootId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use crate::api::Api;
use crate::disk::locks::DiskLocks;
use crate::host::paths::Paths;
use crate::metrics::Metrics;
use crate::network::feed::TenantNetworks;
use crate::operator_client::Operator;
use crate::storage::image_tool::ImageTool;

/// What this node gives to servers now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// How guests run here.
    pub acceleration: Acceleration,
    /// Memory for servers, overhead included, in bytes.
    pub memory_bytes: i64,
    /// Whether floors of Guaranteed classes can be enforced.
    pub guarantees: bool,
    /// Digest of the bundle for new runs.
    pub bundle: Option<String>,
}

/// Shared by every task.
#[derive(Debug)]
pub struct Node {
    /// The API, and who this node is.
    pub api: Api,
    /// Where everything is.
    pub paths: Paths,
    /// This boot of the node.
    pub boot: BootId,
    /// Where the operator is, for what only it may read.
    pub operator: Operator,
    /// The counters.
    pub metrics: Metrics,
    /// What servers take of the node.
    pub ledger: Ledger,
    /// Taps for the servers' interfaces.
    pub networks: TenantNetworks,
    /// One lock a disk.
    pub disks: DiskLocks,
    /// Bundles on the node, the one for new runs first.
    pub bundles: OnceLock<Vec<Bundle>>,
    /// `qemu-img`; nothing until bundles are laid down.
    pub tool: OnceLock<ImageTool>,
    /// What the node gives; nothing until it was qualified.
    pub offer: watch::Receiver<Option<Arc<Offer>>>,
    /// Ends every task; guests are left alone.
    pub stop: CancellationToken,
}
