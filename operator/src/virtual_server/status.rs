//! Writes what people read of a server, where it is another than what stands
//! there, and tells of what changed.

use jiff::Timestamp;
use kube::Resource;
use serde_json::json;
use suigen_crds::condition::{Condition, Status, conclude};
use suigen_crds::virtual_server::{VirtualServer, VirtualServerStatus};

use super::decide::Plan;
use crate::context::Context;
use crate::events::{Told, between};
use crate::outcome::Outcome;
use crate::write;

/// Writes the difference; one that says only that work goes on waits a moment,
/// because most of those are overtaken.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(
    server: &VirtualServer,
    plan: &Plan,
    now: Timestamp,
    ctx: &Context,
) -> Result<Outcome, write::Error> {
    let uid = server.metadata.uid.as_deref().unwrap_or_default();
    let stored = server.status.clone().unwrap_or_default();
    let generation = server.metadata.generation;
    let conditions = conclude(plan.words.findings.clone(), &stored.conditions, generation, now);
    let next = plan.next();
    if plan.is_over() {
        return Ok(next);
    }
    if is_same(&stored, plan, &conditions, generation) {
        ctx.patience.forget(uid);
        return Ok(next);
    }
    if plan.words.progress
        && let Some(after) = ctx.patience.left(uid, now)
    {
        ctx.metrics.deferred.inc();
        return Ok(Outcome::Wait { reason: "Progress", after });
    }
    let status = json!({
        "observedGeneration": generation,
        "phase": plan.words.phase,
        "conditions": conditions,
    });
    write::status(ctx, &write::api_of(ctx, server), server, status).await?;
    ctx.patience.forget(uid);
    let told = [
        // A server that waits says so; one that is off, or moments from its goal, need not.
        Told { loud: plan.waits_for_somebody(), ..Told::flips("Scheduled", Status::True) },
        Told::flips("Running", Status::True),
        Told::flips("Stalled", Status::False),
    ];
    let said = between(&stored.conditions, &conditions, &told);
    ctx.announce(server.object_ref(&()), said);
    Ok(match next {
        Outcome::Done => Outcome::Changed,
        Outcome::Changed | Outcome::Wait { .. } => next,
    })
}

fn is_same(
    stored: &VirtualServerStatus,
    plan: &Plan,
    conditions: &[Condition],
    generation: Option<i64>,
) -> bool {
    stored.observed_generation == generation
        && stored.phase == Some(plan.words.phase)
        && stored.conditions == conditions
}
