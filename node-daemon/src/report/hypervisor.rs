//! `Hypervisor.status`, this daemon's part of it, and what the node offers to
//! servers. Pure.

use jiff::Timestamp;
use suigen_crds::condition::conclude;
use suigen_crds::hypervisor::{
    Bundle, FEATURE_CGROUP_CPU, FEATURE_CGROUP_MEMORY, FeatureState, Hypervisor, HypervisorStatus,
    Orphan, Reserved, Underlay,
};
use suigen_crds::ident::{BootId, LogId};

use crate::api::hypervisor::own_conditions;
use crate::host::qualification::Findings;
use crate::vm::node::Offer;

/// The longest list of orphans that the schema admits.
const MAX_ORPHANS: usize = 64;

/// What the daemon knows of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Where the consoles are, `address:port`.
    pub endpoint: String,
    /// This boot of the node.
    pub boot: BootId,
    /// The write-ahead log.
    pub log: LogId,
    /// Bundles, the one for new runs first.
    pub bundles: Vec<Bundle>,
    /// Where tunnels end, if they can.
    pub underlay: Option<Underlay>,
}

/// What the node gives to servers.
#[must_use]
pub fn offer(about: &About, findings: &Findings, reserved: &Reserved) -> Offer {
    let present = |name: &str| {
        findings.features.iter().any(|f| f.name == name && f.state == FeatureState::Present)
    };
    Offer {
        acceleration: findings.acceleration,
        memory_bytes: findings.capacity.memory_bytes.saturating_sub(reserved.memory.get()),
        guarantees: present(FEATURE_CGROUP_CPU) && present(FEATURE_CGROUP_MEMORY),
        bundle: about.bundles.first().map(|bundle| bundle.digest.clone()),
    }
}

/// The status that is to be written; none where it stands there already.
#[must_use]
pub fn status(
    about: &About,
    findings: &Findings,
    stored: &Hypervisor,
    (servers, orphans): (usize, Vec<Orphan>),
    now: Timestamp,
) -> Option<HypervisorStatus> {
    let before = stored.status.clone().unwrap_or_default();
    let own = own_conditions(&before.conditions);
    let generation = stored.metadata.generation;
    let total = i32::try_from(orphans.len()).unwrap_or(i32::MAX);
    let wanted = HypervisorStatus {
        observed_generation: generation,
        daemon_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        endpoint: Some(about.endpoint.clone()),
        boot_id: Some(about.boot.clone()),
        wal_id: Some(about.log.clone()),
        smbios_uuid: findings.smbios_uuid.clone(),
        underlay: about.underlay.clone(),
        acceleration: Some(findings.acceleration),
        kvm: Some(findings.kvm.clone()),
        cpu: Some(findings.cpu.clone()),
        capacity: Some(findings.capacity),
        features: findings.features.clone(),
        bundles: about.bundles.clone(),
        servers: Some(i32::try_from(servers).unwrap_or(i32::MAX)),
        orphans: orphans.into_iter().take(MAX_ORPHANS).collect(),
        orphans_total: Some(total),
        conditions: conclude(vec![findings.qualified.clone()], &own, generation, now),
    };
    let present = HypervisorStatus { conditions: own, ..before };
    (present != wanted).then_some(wanted)
}
