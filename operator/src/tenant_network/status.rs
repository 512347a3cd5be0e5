//! Writes what people read of a network, if it is another than what stands
//! there. Counts change with every server: alone they are written now and then.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Resource;
use serde_json::json;
use suigen_crds::condition::{Condition, Status, conclude, find};
use suigen_crds::tenant_network::{TenantNetwork, TenantNetworkStatus};

use super::decide::Plan;
use crate::context::Context;
use crate::events::{Told, between};
use crate::outcome::Outcome;
use crate::write;

/// How often a network that is not ready is looked at, should no change tell.
const AGAIN: Duration = Duration::from_secs(15);

/// Writes the difference.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(
    network: &Arc<TenantNetwork>,
    plan: &Plan,
    now: Timestamp,
    ctx: &Context,
) -> Result<Outcome, write::Error> {
    let uid = network.metadata.uid.as_deref().unwrap_or_default();
    let stored = network.status.clone().unwrap_or_default();
    let generation = network.metadata.generation;
    let conditions = conclude(plan.findings.clone(), &stored.conditions, generation, now);
    count(&conditions, ctx);
    let after = if is_same(&stored, &conditions, generation) {
        ctx.patience.forget(uid);
        if (stored.ports, stored.free_addresses) == (Some(plan.ports), plan.free_addresses) {
            return Ok(rest(&conditions));
        }
        ctx.pace.left(uid, now)
    } else if plan.progress {
        ctx.patience.left(uid, now)
    } else {
        None
    };
    if let Some(after) = after {
        ctx.metrics.deferred.inc();
        return Ok(Outcome::Wait { reason: "Progress", after });
    }
    let mut status = json!({
        "observedGeneration": generation,
        "ports": plan.ports,
        "conditions": conditions,
    });
    if let Some(free) = plan.free_addresses {
        status["freeAddresses"] = json!(free);
    }
    write::status(ctx, &write::api_of(ctx, &**network), &**network, status).await?;
    ctx.patience.forget(uid);
    ctx.pace.written(uid, now);
    let told = [Told::flips("Ready", Status::True), Told::flips("Stalled", Status::False)];
    let said = between(&stored.conditions, &conditions, &told);
    ctx.announce(network.object_ref(&()), said);
    Ok(rest(&conditions))
}

/// An object that cannot be read tells nobody when it goes.
fn rest(conditions: &[Condition]) -> Outcome {
    match find(conditions, "Ready").map(|ready| ready.status) {
        Some(Status::True) => Outcome::Done,
        Some(Status::False | Status::Unknown) | None => {
            Outcome::Wait { reason: "NotReady", after: AGAIN }
        }
    }
}

fn count(conditions: &[Condition], ctx: &Context) {
    if find(conditions, "Ready").is_some_and(|ready| ready.reason == "VniRangeExhausted") {
        ctx.metrics.vni_range_exhausted.inc();
    }
}

fn is_same(
    stored: &TenantNetworkStatus,
    conditions: &[Condition],
    generation: Option<i64>,
) -> bool {
    stored.observed_generation == generation && stored.conditions == conditions
}
