//! What a look at a segment takes in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use suigen_crds::condition::{Status, find};
use suigen_crds::network_segment::{NetworkSegment, NetworkSegmentStatus, SegmentPhase};
use suigen_crds::tenant_network::TenantNetwork;

use super::decide::quarantine_ends;
use crate::context::Context;
use crate::network_port::census::{Seen, ports};
use crate::sweep::{Owner, owner, youth};
use crate::watch::lookup::{Lookup, lookup};
use crate::write;

/// A segment, and what is known of who needs it.
#[derive(Debug)]
pub struct Observed {
    /// The object.
    pub segment: Arc<NetworkSegment>,
    /// Hypervisors that had the network and did not confirm its removal.
    pub missing: Vec<Host>,
    /// What speaks for and against it.
    pub evidence: Evidence,
}

/// What speaks for and against a segment.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// A store shows its network, and nothing against it; or it is at a point
    /// where nothing need be read.
    Enough,
    /// No store shows its network, but it is too young to tell.
    Young(Duration),
    /// Its network and the ports of the namespace, as the API server has them.
    Read {
        /// Its network.
        owner: Owner,
        /// The ports.
        ports: Vec<Seen>,
    },
    /// It is released and confirmed, its time is over: the ports as the API
    /// server has them.
    Ripe(Vec<Seen>),
}

/// A hypervisor that had ports of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: HostState,
}

/// How a hypervisor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// Its daemon is heard of.
    Heard,
    /// Its daemon was not heard of lately.
    Silent,
    /// There is no Hypervisor of the name.
    None,
}

/// Gathers from the stores, and from the API server what they do not show.
///
/// # Errors
/// When the API server does not answer.
pub async fn gather(
    segment: Arc<NetworkSegment>,
    now: Timestamp,
    ctx: &Context,
) -> Result<Observed, write::Error> {
    let missing = missing(&segment, ctx);
    let evidence = match segment.status.as_ref().and_then(|status| status.phase) {
        Some(SegmentPhase::Releasing) => releasing(&segment, missing.is_empty(), now, ctx).await?,
        Some(SegmentPhase::Unknown) => Evidence::Enough,
        Some(SegmentPhase::InUse) | None => in_use(&segment, now, ctx).await?,
    };
    Ok(Observed { segment, missing, evidence })
}

async fn releasing(
    segment: &NetworkSegment,
    confirmed: bool,
    now: Timestamp,
    ctx: &Context,
) -> Result<Evidence, write::Error> {
    if !confirmed || quarantine_ends(segment).is_none_or(|end| end > now) {
        return Ok(Evidence::Enough);
    }
    Ok(Evidence::Ripe(ports(ctx, &segment.spec.network.namespace).await?))
}

async fn in_use(
    segment: &NetworkSegment,
    now: Timestamp,
    ctx: &Context,
) -> Result<Evidence, write::Error> {
    let network = &segment.spec.network;
    let shown =
        lookup(&ctx.stores.tenant_networks, &ctx.unreadable, &network.namespace, &network.name);
    let vouches = |shown: &TenantNetwork| {
        let vni = shown.status.as_ref().and_then(|status| status.vni);
        shown.metadata.uid.as_deref() == Some(network.uid.as_str())
            && vni.is_none_or(|vni| vni == segment.spec.vni)
    };
    if matches!(&shown, Lookup::Found(shown) if vouches(shown)) {
        return Ok(Evidence::Enough);
    }
    if let Some(left) = youth(&segment.metadata, now) {
        return Ok(Evidence::Young(left));
    }
    let owner =
        owner::<TenantNetwork>(ctx, &network.namespace, &network.name, &network.uid).await?;
    let ports = ports(ctx, &network.namespace).await?;
    Ok(Evidence::Read { owner, ports })
}

/// The hypervisors that are to confirm and did not.
pub fn missing(segment: &NetworkSegment, ctx: &Context) -> Vec<Host> {
    let host = |name: &str| {
        let state = match lookup(&ctx.stores.hypervisors, &ctx.unreadable, "", name) {
            Lookup::Missing => HostState::None,
            Lookup::Unreadable(_) => HostState::Silent,
            Lookup::Found(hypervisor) => {
                let status = hypervisor.status.as_ref();
                let ready = status.and_then(|status| find(&status.conditions, "Ready"));
                match ready.map(|ready| ready.status) {
                    Some(Status::True | Status::False) => HostState::Heard,
                    Some(Status::Unknown) | None => HostState::Silent,
                }
            }
        };
        Host { name: name.to_owned(), state }
    };
    segment.status.as_ref().map_or_else(Vec::new, |status| unconfirmed(status, host))
}

fn unconfirmed(status: &NetworkSegmentStatus, host: impl Fn(&str) -> Host) -> Vec<Host> {
    let said = |node: &_| status.torn_down.iter().any(|word| word.node_name == *node);
    status.hosts.iter().filter(|node| !said(*node)).map(|node| host(node.as_str())).collect()
}
