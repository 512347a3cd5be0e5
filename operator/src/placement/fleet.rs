//! What each hypervisor has left: capacity, less what is reserved, less every
//! server that holds its right there, less every local disk, less promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use suigen_crds::condition::{find, is_true};
use suigen_crds::disk::Disk;
use suigen_crds::hypervisor::{
    FEATURE_CGROUP_CPU, FEATURE_CGROUP_MEMORY, FeatureState, Hypervisor, NETWORK_FEATURES,
    Scheduling,
};
use suigen_crds::ident::NodeName;
use suigen_crds::right::is_released;
use suigen_crds::tenant_network::OVERHEAD;
use suigen_crds::virtual_server::{Placement, ResolvedClass, VirtualServer};

use super::ledger::Promise;
use super::{Amounts, Candidate, Closed, Fleet, OVERHEAD_BYTES};

/// What the counting looks at.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Every hypervisor.
    pub hypervisors: &'a [Arc<Hypervisor>],
    /// Every other server than the one that is placed.
    pub servers: &'a [Arc<VirtualServer>],
    /// Every disk.
    pub disks: &'a [Arc<Disk>],
    /// Promises to other servers.
    pub promises: Vec<&'a Promise>,
    /// Nodes on which an object is that cannot be read, with its name.
    pub blind: BTreeMap<String, String>,
}

/// What a server of this class takes of a hypervisor, without its disks.
#[must_use]
pub fn amounts_of(class: &ResolvedClass) -> Amounts {
    Amounts {
        memory_bytes: class.memory_bytes.saturating_add(OVERHEAD_BYTES),
        cpu_millis: i64::from(class.cpu_floor_millis),
        disk_bytes: 0,
    }
}

/// Counts.
#[must_use]
pub fn count(sources: &Sources<'_>) -> Fleet {
    let taken = taken(sources);
    let mut candidates: Vec<_> =
        sources.hypervisors.iter().filter_map(|hv| candidate(hv, &taken, &sources.blind)).collect();
    candidates.sort_by(|a, b| a.node.cmp(&b.node));
    Fleet { candidates }
}

fn taken(sources: &Sources<'_>) -> BTreeMap<NodeName, Amounts> {
    let mut taken = BTreeMap::<NodeName, Amounts>::new();
    let mut take = |node: &NodeName, amounts: Amounts| {
        let sum = taken.entry(node.clone()).or_default();
        *sum = sum.plus(amounts);
    };
    for disk in sources.disks {
        if let Some(node) = disk.status.as_ref().and_then(|status| status.node_name.as_ref()) {
            take(node, Amounts { disk_bytes: disk.spec.size.get(), ..Amounts::default() });
        }
    }
    let unpinned = unpinned(sources.disks);
    for server in sources.servers {
        if let Some(placement) = held(server) {
            let disks = coming(server, placement, &unpinned);
            take(&placement.node_name, amounts_of(&placement.class).plus(disks));
        }
    }
    for promise in &sources.promises {
        take(&promise.node, promise.amounts);
    }
    taken
}

/// The placement of a server that holds its right.
fn held(server: &VirtualServer) -> Option<&Placement> {
    let status = server.status.as_ref()?;
    let placement = status.placement.as_ref()?;
    (!is_released(placement, status.runtime.as_ref())).then_some(placement)
}

/// Disks whose pin is not written yet, by namespace and name.
fn unpinned(disks: &[Arc<Disk>]) -> BTreeMap<(String, String), i64> {
    let loose = |disk: &&Arc<Disk>| disk.status.as_ref().is_none_or(|s| s.node_name.is_none());
    let entry = |disk: &Arc<Disk>| {
        let key = (disk.namespace().unwrap_or_default(), disk.name_any());
        (key, disk.spec.size.get())
    };
    disks.iter().filter(loose).map(entry).collect()
}

/// Space that a placed server will take there once its disks are pinned.
fn coming(
    server: &VirtualServer,
    placement: &Placement,
    unpinned: &BTreeMap<(String, String), i64>,
) -> Amounts {
    if unpinned.is_empty() {
        return Amounts::default();
    }
    let namespace = server.namespace().unwrap_or_default();
    let size = |disk_name: &String| {
        unpinned.get(&(namespace.clone(), disk_name.clone())).copied().unwrap_or_default()
    };
    let disk_bytes = placement.disks.iter().map(|placed| size(&placed.disk_name)).sum();
    Amounts { disk_bytes, ..Amounts::default() }
}

fn candidate(
    hypervisor: &Hypervisor,
    taken: &BTreeMap<NodeName, Amounts>,
    blind: &BTreeMap<String, String>,
) -> Option<Candidate> {
    let node = NodeName::try_from(hypervisor.name_any()).ok()?;
    let status = hypervisor.status.as_ref();
    let total = total(hypervisor);
    let closed = closed(hypervisor)
        .or_else(|| blind.get(node.as_str()).map(|object| Closed::Unreadable(object.clone())));
    Some(Candidate {
        closed: closed.or_else(|| total.is_none().then_some(Closed::Incomplete)),
        wal_id: status.and_then(|status| status.wal_id.clone()),
        lacks: lacks(hypervisor, &[FEATURE_CGROUP_CPU, FEATURE_CGROUP_MEMORY]),
        lacks_for_networks: lacks(hypervisor, &NETWORK_FEATURES),
        carries: status
            .and_then(|status| status.underlay.as_ref())
            .map(|underlay| underlay.mtu.saturating_sub(i32::from(OVERHEAD))),
        total: total.unwrap_or_default(),
        free: total.unwrap_or_default().minus(taken.get(&node).copied().unwrap_or_default()),
        node,
    })
}

fn total(hypervisor: &Hypervisor) -> Option<Amounts> {
    let capacity = hypervisor.status.as_ref()?.capacity?;
    let reserved = &hypervisor.spec.reserved;
    Some(Amounts {
        memory_bytes: capacity.memory_bytes.saturating_sub(reserved.memory.get()),
        cpu_millis: i64::from(capacity.cpu_millis) - i64::from(reserved.cpu_millis),
        disk_bytes: capacity.local_disk_bytes,
    })
}

fn closed(hypervisor: &Hypervisor) -> Option<Closed> {
    let conditions = hypervisor.status.as_ref().map_or(&[][..], |status| &status.conditions);
    if hypervisor.metadata.deletion_timestamp.is_some() {
        return Some(Closed::Deleted);
    }
    if hypervisor.spec.scheduling != Scheduling::Enabled {
        return Some(Closed::Disabled);
    }
    if !is_true(conditions, "Qualified") {
        let why = find(conditions, "Qualified").map_or("not reported yet", |c| &c.message);
        return Some(Closed::NotQualified(why.to_owned()));
    }
    (!is_true(conditions, "Ready")).then_some(Closed::NotHeardOf)
}

fn lacks(hypervisor: &Hypervisor, needed: &[&'static str]) -> Vec<&'static str> {
    let features = hypervisor.status.as_ref().map_or(&[][..], |status| &status.features);
    let has = |wanted: &str| {
        features.iter().any(|f| f.name == wanted && f.state == FeatureState::Present)
    };
    needed.iter().copied().filter(|wanted| !has(wanted)).collect()
}
