//! Writes the operator's one condition of a hypervisor, if it is another.

use jiff::Timestamp;
use kube::{Api, Resource};
use serde_json::json;
use suigen_crds::condition::{Status, conclude, find};
use suigen_crds::hypervisor::Hypervisor;

use super::decide::Plan;
use super::observe::Observed;
use crate::context::Context;
use crate::events::{Told, between};
use crate::write;

/// Writes the difference.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(
    observed: &Observed,
    plan: &Plan,
    now: Timestamp,
    ctx: &Context,
) -> Result<(), write::Error> {
    let hypervisor = &observed.hypervisor;
    let before = hypervisor.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let after = conclude(vec![plan.ready.clone()], before, hypervisor.metadata.generation, now);
    if find(before, "Ready") == after.first() {
        return Ok(());
    }
    let api = Api::<Hypervisor>::all(ctx.client.clone());
    write::status(ctx, &api, hypervisor, json!({ "conditions": after })).await?;
    let said = between(before, &after, &[Told::flips("Ready", Status::True)]);
    ctx.announce(hypervisor.object_ref(&()), said);
    Ok(())
}
