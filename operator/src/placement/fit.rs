//! Hard limits: what stands against a hypervisor.

use suigen_crds::ident::NodeName;
use suigen_crds::server_class::ResourceType;

use super::{Candidate, Carried, Closed, Demand};

/// One thing that stands against a hypervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It takes no server at all.
    Closed(Closed),
    /// A disk of the server is elsewhere.
    DiskElsewhere(NodeName),
    /// It refused the server lately.
    RefusedLately(String),
    /// It lacks what enforces a guaranteed class.
    Lacks(Vec<&'static str>),
    /// It lacks what every interface needs.
    LacksForNetworks(Vec<&'static str>),
    /// It has no tunnel end point.
    NoUnderlay,
    /// The largest packet that its tunnels carry, in bytes, and the network
    /// that needs larger ones.
    Mtu(i32, Carried),
    /// Memory: needed and free, in bytes.
    Memory(i64, i64),
    /// CPU floors: needed and free, in thousandths of a CPU.
    Cpu(i64, i64),
    /// Space for `Local` disks: needed and free, in bytes.
    Disk(i64, i64),
}

/// Everything that stands against a candidate; empty when the server fits.
pub fn against(candidate: &Candidate, demand: &Demand) -> Vec<Misfit> {
    let mut found = Vec::new();
    if let Some(pinned) = demand.pinned.as_ref().filter(|pinned| **pinned != candidate.node) {
        found.push(Misfit::DiskElsewhere(pinned.clone()));
    }
    match (&candidate.closed, &candidate.wal_id) {
        (Some(closed), _) => found.push(Misfit::Closed(closed.clone())),
        (None, None) => found.push(Misfit::Closed(Closed::Incomplete)),
        (None, Some(_)) => {}
    }
    if let Some((_, said)) = demand.avoid.iter().find(|(node, _)| *node == candidate.node) {
        found.push(Misfit::RefusedLately(said.clone()));
    }
    if demand.resource_type != ResourceType::BestEffort && !candidate.lacks.is_empty() {
        found.push(Misfit::Lacks(candidate.lacks.clone()));
    }
    if let Some(network) = &demand.network {
        found.extend(against_network(candidate, network));
    }
    let (need, free) = (demand.amounts, candidate.free);
    if need.memory_bytes > free.memory_bytes {
        found.push(Misfit::Memory(need.memory_bytes, free.memory_bytes));
    }
    if need.cpu_millis > 0 && need.cpu_millis > free.cpu_millis {
        found.push(Misfit::Cpu(need.cpu_millis, free.cpu_millis));
    }
    if need.disk_bytes > 0 && need.disk_bytes > free.disk_bytes {
        found.push(Misfit::Disk(need.disk_bytes, free.disk_bytes));
    }
    found
}

fn against_network(candidate: &Candidate, network: &Carried) -> Option<Misfit> {
    if !candidate.lacks_for_networks.is_empty() {
        return Some(Misfit::LacksForNetworks(candidate.lacks_for_networks.clone()));
    }
    match candidate.carries {
        None => Some(Misfit::NoUnderlay),
        Some(carries) if carries < network.mtu => Some(Misfit::Mtu(carries, network.clone())),
        Some(_) => None,
    }
}
