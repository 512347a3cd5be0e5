//! Carries out what was decided on a port.

use kube::Api;
use serde_json::json;
use suigen_crds::ident::NodeName;
use suigen_crds::network_segment::{NetworkSegment, SegmentPhase};

use super::decide::Plan;
use super::observe::Observed;
use crate::context::Context;
use crate::finalizer::is_held;
use crate::metrics::count;
use crate::outcome::Outcome;
use crate::write;

/// Lifts the finalizer, deletes, or notes the node in the segment.
///
/// # Errors
/// When the API server does not take it, or the object changed.
pub async fn carry_out(
    observed: &Observed,
    plan: Plan,
    ctx: &Context,
) -> Result<Outcome, write::Error> {
    let port = &*observed.port;
    let api = write::api_of(ctx, port);
    match plan {
        Plan::Keep { after: None, .. } => return Ok(Outcome::Done),
        Plan::Keep { reason, after: Some(after) } => return Ok(Outcome::Wait { reason, after }),
        Plan::List(node) => {
            if let Some(segment) = &observed.unlisted {
                list(segment, node, ctx).await?;
            }
            // The port itself did not change: nothing else brings it back here.
            return Ok(Outcome::Wait { reason: "Listed", after: crate::sweep::AGAIN });
        }
        Plan::Sweep(why) => {
            write::delete(ctx, &api, port).await?;
            count(&ctx.metrics.swept, "NetworkPort", why);
        }
        Plan::Lift => {
            if is_held(port) {
                let last = write::finalizer(ctx, &api, port, false).await?;
                ctx.forget(&last);
            }
        }
    }
    Ok(Outcome::Changed)
}

async fn list(segment: &NetworkSegment, node: NodeName, ctx: &Context) -> Result<(), write::Error> {
    let stored = segment.status.clone().unwrap_or_default();
    let mut hosts = stored.hosts;
    hosts.push(node);
    let mut status = json!({ "hosts": hosts });
    if stored.phase.is_none() {
        status["phase"] = json!(SegmentPhase::InUse);
    }
    let api = Api::<NetworkSegment>::all(ctx.client.clone());
    write::give_out(ctx, &api, segment, "hosts", status).await?;
    Ok(())
}
