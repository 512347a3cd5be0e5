//! The placement engine: which hypervisor takes a server.
//!
//! Pure: a [`Fleet`] and a [`Demand`] in, a [`Choice`] or a [`NoRoom`] out.
//! Hard limits are in [`fit`], the order among what fits in [`score`], the
//! words for people in [`explain`], the counting of what is taken in [`fleet`].

mod explain;
mod fit;
pub mod fleet;
pub mod ledger;
mod score;

use suigen_crds::ident::{LogId, NodeName};
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::server_class::ResourceType;

pub use fit::Misfit;

/// What QEMU needs beyond the guest's memory, in bytes; counted for each server.
pub const OVERHEAD_BYTES: i64 = 80 << 20;

/// Amounts of what a hypervisor has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Amounts {
    /// Memory in bytes, with the overhead of each server.
    pub memory_bytes: i64,
    /// CPU floors in thousandths of a CPU.
    pub cpu_millis: i64,
    /// Space of `Local` disks in bytes.
    pub disk_bytes: i64,
}

impl Amounts {
    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }

    /// What is left when `other` is taken away; may be negative.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
        }
    }
}

/// What a server needs of its hypervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// How the class means its amounts.
    pub resource_type: ResourceType,
    /// What is taken from the hypervisor. Disks that are there already count 0.
    pub amounts: Amounts,
    /// The hypervisor that keeps a disk of the server, which no other can.
    pub pinned: Option<NodeName>,
    /// Hypervisors that refused the server lately, and what they said.
    pub avoid: Vec<(NodeName, String)>,
    /// The network of the server with the largest packets; none when it has no
    /// interface.
    pub network: Option<Carried>,
}

/// A network whose packets the hypervisor must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Its name.
    pub network: String,
    /// The largest packet that a guest may send, in bytes.
    pub mtu: i32,
}

impl Carried {
    /// The most demanding network of a server.
    pub fn largest(interfaces: &[PlacedInterface]) -> Option<Self> {
        let largest = interfaces.iter().max_by_key(|interface| interface.mtu)?;
        Some(Self { network: largest.tenant_network_name.clone(), mtu: largest.mtu })
    }
}

/// One hypervisor, as far as placement looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub node: NodeName,
    /// Why it takes no server at all, if so.
    pub closed: Option<Closed>,
    /// Its write-ahead log.
    pub wal_id: Option<LogId>,
    /// Features that a guaranteed class needs and it lacks.
    pub lacks: Vec<&'static str>,
    /// Features that an interface needs and it lacks.
    pub lacks_for_networks: Vec<&'static str>,
    /// The largest packet of a tenant that its tunnels carry, in bytes; none
    /// when it has no tunnels.
    pub carries: Option<i32>,
    /// What it has for servers.
    pub total: Amounts,
    /// What is not taken; negative after its capacity shrank.
    pub free: Amounts,
}

/// Why a hypervisor takes no server at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The provider said so.
    Disabled,
    /// It is being deleted.
    Deleted,
    /// Its daemon says that servers cannot run here.
    NotQualified(String),
    /// Its daemon was not heard of lately.
    NotHeardOf,
    /// It did not yet report its log or its capacity.
    Incomplete,
    /// An object on it cannot be read, so what it has left is not known.
    Unreadable(String),
}

/// Every hypervisor.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// In the order of their names.
    pub candidates: Vec<Candidate>,
}

/// The hypervisor that takes the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub node: NodeName,
    /// Its write-ahead log.
    pub wal_id: LogId,
}

/// Why no hypervisor takes the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoom {
    /// For each hypervisor, what stands against it.
    pub misfits: Vec<(NodeName, Vec<Misfit>)>,
    /// The hypervisor that keeps a disk of the server.
    pub pinned: Option<NodeName>,
}

/// Chooses a hypervisor.
///
/// # Errors
/// When none fits, with what stands against each.
pub fn place(fleet: &Fleet, demand: &Demand) -> Result<Choice, NoRoom> {
    let mut misfits = Vec::new();
    let mut fitting = Vec::new();
    for candidate in &fleet.candidates {
        match (fit::against(candidate, demand), &candidate.wal_id) {
            (against, Some(wal_id)) if against.is_empty() => fitting.push((candidate, wal_id)),
            (against, _) => misfits.push((candidate.node.clone(), against)),
        }
    }
    let best = fitting.into_iter().min_by_key(|(candidate, _)| score::waste(candidate, demand));
    match best {
        Some((candidate, wal_id)) => {
            Ok(Choice { node: candidate.node.clone(), wal_id: wal_id.clone() })
        }
        None => Err(NoRoom { misfits, pinned: demand.pinned.clone() }),
    }
}

#[cfg(test)]
mod tests;
