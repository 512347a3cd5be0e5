//! What enters a server's queue.

use suigen_crds::ident::{Epoch, LogId, NodeName};
use suigen_crds::virtual_server::VirtualServer;

use super::read::Look;
use super::ready::Ready;
use super::situation::Guest;
use super::volumes::NotReady;
use crate::api::ReadError;

/// One event.
#[derive(Debug)]
pub enum Event {
    /// A watch saw the object.
    ObjectSeen(Box<Glimpse>),
    /// Something about the server changed, or may have; look again.
    Woken,
    /// A quorum read was answered, or not.
    Read(Result<Box<Look>, ReadError>),
    /// A Disk of the server changed.
    DiskSeen,
    /// The ports that a start waited for are there.
    PortsReady,
    /// What one start needs was looked after.
    Prepared {
        /// Which attempt this is the answer to.
        attempt: u64,
        /// It is there, or why not.
        outcome: Result<Box<Ready>, NotReady>,
    },
    /// QEMU's run state changed, or it fell silent or spoke again.
    Guest {
        /// Which run.
        incarnation: i64,
        /// What it does now.
        state: Guest,
        /// QEMU's word for it.
        detail: String,
    },
    /// The process ended.
    Exited {
        /// Which run.
        incarnation: i64,
        /// How, in the kernel's words.
        exit: String,
    },
}

/// As much of an object as decides whether a fresh read could change anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// Namespace of the object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    uid: Option<String>,
    generation: Option<i64>,
    deleted: bool,
    placement: Option<(NodeName, Epoch, LogId)>,
}

impl Glimpse {
    /// Looks at an object.
    #[must_use]
    pub fn of(object: &VirtualServer) -> Self {
        let placement = object.status.as_ref().and_then(|status| status.placement.as_ref());
        Self {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            uid: object.metadata.uid.clone(),
            generation: object.metadata.generation,
            deleted: object.metadata.deletion_timestamp.is_some(),
            placement: placement.map(|p| (p.node_name.clone(), p.epoch, p.wal_id.clone())),
        }
    }
}
