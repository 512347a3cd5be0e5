//! Writes what people read of a disk, if it is another than what stands there.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Resource;
use serde_json::json;
use suigen_crds::condition::{Condition, Status, conclude};
use suigen_crds::disk::{Disk, DiskStatus};

use super::decide::Plan;
use crate::context::Context;
use crate::events::{Told, between};
use crate::outcome::Outcome;
use crate::write;

/// Writes the difference; one that says only that work goes on waits a moment.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(
    disk: &Arc<Disk>,
    plan: &Plan,
    now: Timestamp,
    ctx: &Context,
) -> Result<Outcome, write::Error> {
    let uid = disk.metadata.uid.as_deref().unwrap_or_default();
    let stored = disk.status.clone().unwrap_or_default();
    let generation = disk.metadata.generation;
    let conditions = conclude(plan.findings.clone(), &stored.conditions, generation, now);
    if is_same(&stored, plan, &conditions, generation) {
        ctx.patience.forget(uid);
        return Ok(Outcome::Done);
    }
    if plan.progress
        && let Some(after) = ctx.patience.left(uid, now)
    {
        ctx.metrics.deferred.inc();
        return Ok(Outcome::Wait { reason: "Progress", after });
    }
    let mut status = json!({
        "observedGeneration": generation,
        "phase": plan.phase,
        "conditions": conditions,
    });
    if let Some(source) = &plan.source {
        status["source"] = json!(source);
    }
    write::status(ctx, &write::api_of(ctx, &**disk), &**disk, status).await?;
    ctx.patience.forget(uid);
    let told = [Told::flips("Ready", Status::True), Told::flips("Stalled", Status::False)];
    let said = between(&stored.conditions, &conditions, &told);
    ctx.announce(disk.object_ref(&()), said);
    Ok(Outcome::Changed)
}

fn is_same(
    stored: &DiskStatus,
    plan: &Plan,
    conditions: &[Condition],
    generation: Option<i64>,
) -> bool {
    stored.observed_generation == generation
        && stored.phase == Some(plan.phase)
        && stored.source == plan.source
        && stored.conditions == conditions
}
