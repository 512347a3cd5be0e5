//! Carries out what was decided on a segment.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use serde_json::json;
use suigen_crds::network_segment::{NetworkSegment, QUARANTINE_SECONDS, SegmentPhase};

use super::decide::Plan;
use super::observe::{Observed, missing};
use super::status;
use crate::context::Context;
use crate::metrics::count;
use crate::outcome::Outcome;
use crate::write;

/// Releases, says what the release waits for, or deletes.
///
/// # Errors
/// When the API server does not take it, or the segment changed.
pub async fn carry_out(
    observed: &Observed,
    plan: &Plan,
    now: Timestamp,
    ctx: &Context,
) -> Result<Outcome, write::Error> {
    let segment = &*observed.segment;
    match plan {
        Plan::Keep { reason, after } => Ok(Outcome::Wait { reason, after: *after }),
        Plan::Release(why) => {
            release(segment, now, ctx).await?;
            count(&ctx.metrics.swept, "NetworkSegment", why);
            tracing::info!(vni = %segment.spec.vni, why, "released a segment");
            Ok(Outcome::Changed)
        }
        Plan::Wait { wait, after } => {
            let uid = segment.metadata.uid.as_deref().unwrap_or_default();
            ctx.metrics.releases_held_up.set(ctx.held_up.note(uid, wait.held_up));
            let said = segment.status.as_ref().and_then(|status| status.message.as_ref());
            if said != Some(&wait.message) {
                let status = json!({ "message": wait.message });
                write::give_out(ctx, &api(ctx), segment, "message", status).await?;
            }
            Ok(Outcome::Wait { reason: wait.reason, after: *after })
        }
        Plan::Free => {
            write::delete_unchanged(ctx, &api(ctx), segment).await?;
            tracing::info!(vni = %segment.spec.vni, "freed a VNI");
            Ok(Outcome::Changed)
        }
    }
}

/// Marks a segment as one whose network is gone, as it was read: the API server
/// refuses when a hypervisor was added to it meanwhile.
///
/// # Errors
/// When the API server does not take it, or the segment changed.
pub async fn release(
    segment: &NetworkSegment,
    now: Timestamp,
    ctx: &Context,
) -> Result<(), write::Error> {
    // Whole seconds, as they are stored: else the next look says another time.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let end = now.checked_add(SignedDuration::from_secs(QUARANTINE_SECONDS));
    let wait = status::wait(end.unwrap_or(Timestamp::MAX), &missing(segment, ctx), &[], false);
    let status = json!({
        "phase": SegmentPhase::Releasing,
        "releasedAt": Time(now),
        "message": wait.message,
    });
    write::give_out(ctx, &api(ctx), segment, "release", status).await?;
    Ok(())
}

fn api(ctx: &Context) -> Api<NetworkSegment> {
    Api::all(ctx.client.clone())
}
