//! What a look at a network takes in.

use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::Vni;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::{NetworkSegment, SegmentPhase, segment_name};
use suigen_crds::tenant_network::{OVERHEAD, TenantNetwork};

use super::allocate::VniRange;
use super::room;
use crate::context::Context;
use crate::finalizer::{Deletion, deletion};
use crate::network_port::census::ports;
use crate::watch::lookup::{Lookup, lookup};
use crate::write;

/// A network, its segment, and what may carry it.
#[derive(Debug)]
pub struct Observed {
    /// The object.
    pub network: Arc<TenantNetwork>,
    /// Its UID.
    pub uid: Uid,
    /// What its deletion timestamp means.
    pub deletion: Deletion,
    /// Its segment.
    pub segment: Segment,
    /// The first VNI to try that no segment is known to have.
    pub free: Option<Vni>,
    /// Where VNIs are taken from.
    pub range: VniRange,
    /// Each hypervisor whose underlay is known, with the largest packet of a
    /// tenant that it carries.
    pub carries: Vec<(String, i32)>,
    /// Interfaces in it.
    pub ports: i32,
    /// Addresses that are neither reserved nor claimed; none without subnets.
    pub free_addresses: Option<i64>,
    /// What is left of it, if it is to go.
    pub left: Left,
}

/// The segment of a network, as far as stores show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// None is known.
    None,
    /// It was created just now, and no store shows it yet.
    Awaited(Vni),
    /// It is there.
    Ours(Vni),
    /// The network's VNI is held by another network.
    Foreign(String),
    /// It cannot be read.
    Unreadable(String),
}

/// What is left of a network that is to go, as the API server has it.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// The servers whose ports are in it.
    pub servers: Vec<String>,
    /// Its segments that are not released yet.
    pub segments: Vec<NetworkSegment>,
}

/// Gathers from the stores; of a network that is to go, from the API server.
///
/// # Errors
/// When the API server does not answer, or the network has no proper UID.
pub async fn gather(
    network: Arc<TenantNetwork>,
    now: Timestamp,
    ctx: &Context,
) -> Result<Observed, write::Error> {
    let uid = own_uid(&network)?;
    let deleting = network.metadata.deletion_timestamp.is_some();
    let terminating = deleting
        && ctx
            .crd_is_terminating("tenantnetworks")
            .await
            .map_err(|e| write::Error::of("read the CRD of", write::name_of(&*network), e))?;
    let deletion = deletion(&*network, terminating);
    let segment = segment(&network, &uid, now, ctx);
    let searches = deletion == Deletion::No && segment == Segment::None;
    let free = if searches { free(&network, &uid, ctx) } else { None };
    let in_it = ctx.stores.network_ports.state_filter(|port| port.spec.network_uid == uid);
    let left = match deletion {
        Deletion::Wanted => left(&network, &uid, &in_it, ctx).await?,
        Deletion::No | Deletion::CrdTerminating => Left::default(),
    };
    Ok(Observed {
        ports: i32::try_from(in_it.len()).unwrap_or(i32::MAX),
        free_addresses: free_addresses(&network, &uid, ctx),
        carries: carries(ctx),
        range: ctx.vnis,
        network,
        uid,
        deletion,
        segment,
        free,
        left,
    })
}

fn own_uid(network: &TenantNetwork) -> Result<Uid, write::Error> {
    let uid = network.uid().unwrap_or_default();
    uid.try_into().map_err(|error| write::Error::Api {
        action: "read the UID of",
        object: write::name_of(network),
        source: Box::new(kube::Error::Service(Box::new(error))),
    })
}

/// The segment that `status.vni` names; else one that was made for the network
/// before a crash.
fn segment(network: &TenantNetwork, uid: &Uid, now: Timestamp, ctx: &Context) -> Segment {
    let known = network.status.as_ref().and_then(|status| status.vni);
    let Some(vni) = known else {
        let ours = |segment: &NetworkSegment| {
            let phase = segment.status.as_ref().and_then(|status| status.phase);
            segment.spec.network.uid == *uid && matches!(phase, None | Some(SegmentPhase::InUse))
        };
        let made = ctx.stores.network_segments.state_filter(ours);
        let first = made.iter().map(|segment| segment.spec.vni).min();
        return first.map_or(Segment::None, Segment::Ours);
    };
    let name = segment_name(vni);
    match lookup(&ctx.stores.network_segments, &ctx.unreadable, "", &name) {
        Lookup::Found(segment) if segment.spec.network.uid == *uid => Segment::Ours(vni),
        Lookup::Found(segment) => {
            let other = &segment.spec.network;
            Segment::Foreign(format!("{}/{}", other.namespace, other.name))
        }
        Lookup::Unreadable(why) => Segment::Unreadable(why),
        Lookup::Missing if ctx.created.is_awaited("", &name, now) => Segment::Awaited(vni),
        Lookup::Missing => Segment::None,
    }
}

/// The VNI that the network already has, if its segment is lost; else the
/// first candidate that no segment has, whether it can be read or not.
fn free(network: &TenantNetwork, uid: &Uid, ctx: &Context) -> Option<Vni> {
    if let Some(vni) = network.status.as_ref().and_then(|status| status.vni) {
        return Some(vni);
    }
    let is_free = |vni: &Vni| {
        let name = segment_name(*vni);
        let found = lookup(&ctx.stores.network_segments, &ctx.unreadable, "", &name);
        matches!(found, Lookup::Missing)
    };
    ctx.vnis.candidates(uid).find(is_free)
}

fn carries(ctx: &Context) -> Vec<(String, i32)> {
    let hypervisors = ctx.stores.hypervisors.state();
    let known = hypervisors.iter().filter_map(|hypervisor| {
        let underlay = hypervisor.status.as_ref()?.underlay.as_ref()?;
        Some((hypervisor.name_any(), underlay.mtu - i32::from(OVERHEAD)))
    });
    let mut all: Vec<_> = known.collect();
    all.sort();
    all
}

fn free_addresses(network: &TenantNetwork, uid: &Uid, ctx: &Context) -> Option<i64> {
    let subnets = &network.spec.subnets;
    if subnets.is_empty() {
        return None;
    }
    let claims = &ctx.stores.address_claims;
    let claims = claims.state_filter(|claim: &AddressClaim| claim.spec.network_uid == *uid);
    let claimed = claims.iter().map(|claim| -> Ipv4Addr { claim.spec.address.0 });
    Some(room::free(subnets, claimed))
}

/// What a store shows is enough to wait for; to go on, the API server is asked.
async fn left(
    network: &TenantNetwork,
    uid: &Uid,
    shown: &[Arc<NetworkPort>],
    ctx: &Context,
) -> Result<Left, write::Error> {
    let mut servers: Vec<_> = shown.iter().map(|port| port.spec.server_name.clone()).collect();
    if servers.is_empty() {
        let all = ports(ctx, &network.namespace().unwrap_or_default()).await?;
        let in_it = all.iter().filter(|port| port.may_be_in(uid));
        servers.extend(in_it.map(|port| port.server().to_owned()));
    }
    if !servers.is_empty() {
        servers.sort();
        servers.dedup();
        return Ok(Left { servers, segments: Vec::new() });
    }
    Ok(Left { servers, segments: unreleased(network, uid, ctx).await? })
}

async fn unreleased(
    network: &TenantNetwork,
    uid: &Uid,
    ctx: &Context,
) -> Result<Vec<NetworkSegment>, write::Error> {
    let shown = ctx.stores.network_segments.state_filter(|s| s.spec.network.uid == *uid);
    let mut names: Vec<_> = shown.iter().map(|segment| segment.name_any()).collect();
    names.extend(network.status.as_ref().and_then(|status| status.vni).map(segment_name));
    names.sort();
    names.dedup();
    let api = Api::<NetworkSegment>::all(ctx.client.clone());
    let mut unreleased = Vec::new();
    for name in names {
        let found = api.get_opt(&name).await;
        let found = found.map_err(|e| write::Error::of("read NetworkSegment", name, e))?;
        unreleased.extend(found.filter(|segment| {
            let phase = segment.status.as_ref().and_then(|status| status.phase);
            segment.spec.network.uid == *uid && phase != Some(SegmentPhase::Releasing)
        }));
    }
    Ok(unreleased)
}
