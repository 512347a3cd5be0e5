//! Carries out what was decided on a network. A crash between any two writes
//! leaves a state from which the next look goes on.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::{Api, ResourceExt};
use serde_json::json;
use suigen_crds::net_ident::Vni;
use suigen_crds::network_segment::{
    NetworkSegment, NetworkSegmentSpec, SegmentPhase, segment_name,
};
use suigen_crds::tenant_network::{NetworkReference, TenantNetwork};

use super::decide::Plan;
use super::observe::Observed;
use crate::context::Context;
use crate::finalizer::{Finalizer, is_held};
use crate::network_segment;
use crate::write;

/// Finalizer, segment, what is given for good; or release and end. Gives back
/// the network as it is then; none when it is gone.
///
/// # Errors
/// When the API server does not take it, or another network was first.
pub async fn carry_out(
    observed: &Observed,
    plan: &Plan,
    now: Timestamp,
    ctx: &Context,
) -> Result<Option<Arc<TenantNetwork>>, write::Error> {
    let mut network = observed.network.clone();
    let api = write::api_of(ctx, &*network);
    match plan.finalizer {
        Finalizer::Keep => {}
        Finalizer::Add => {
            network = Arc::new(write::finalizer(ctx, &api, &*network, true).await?);
        }
        Finalizer::Lift => {
            for segment in &plan.release {
                network_segment::release(segment, now, ctx).await?;
            }
            if is_held(&*network) {
                let last = write::finalizer(ctx, &api, &*network, false).await?;
                ctx.forget(&last);
            }
            return Ok(None);
        }
    }
    if let Some(vni) = plan.claim {
        claim(observed, vni, now, ctx).await?;
    }
    if let Some(given) = plan.give {
        let status = json!({ "vni": given.vni, "mtu": given.mtu });
        network = Arc::new(write::give_out(ctx, &api, &*network, "vni", status).await?);
    }
    Ok(Some(network))
}

/// Takes a VNI by creating its segment, whose name nobody else can have.
async fn claim(
    observed: &Observed,
    vni: Vni,
    now: Timestamp,
    ctx: &Context,
) -> Result<(), write::Error> {
    let network = &observed.network;
    let name = segment_name(vni);
    let reference = NetworkReference {
        namespace: network.namespace().unwrap_or_default(),
        name: network.name_any(),
        uid: observed.uid.clone(),
    };
    let segment = NetworkSegment {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        spec: NetworkSegmentSpec { vni, network: reference },
        status: None,
    };
    let api = Api::<NetworkSegment>::all(ctx.client.clone());
    match write::create(ctx, &api, &segment).await {
        Ok(_) => {}
        Err(write::Error::Exists { .. }) => {
            let found = api.get(&name).await;
            let found = found.map_err(|e| write::Error::of("read NetworkSegment", name.clone(), e));
            let found = found?;
            let phase = found.status.as_ref().and_then(|status| status.phase);
            let ours = found.spec.network.uid == observed.uid;
            if !ours || !matches!(phase, None | Some(SegmentPhase::InUse)) {
                ctx.metrics.vni_races.inc();
                return Err(write::Error::Conflict { action: "take", object: name });
            }
        }
        Err(error) => return Err(error),
    }
    ctx.created.note("", &name, now);
    Ok(())
}
