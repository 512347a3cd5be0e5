//! Writes what people read of a server, where it is another than what stands
//! there, and tells of what changed.

use jiff::Timestamp;
use kube::Resource;
use serde_json::json;
use suigen_crds::condition::{Condition, Status, conclude};
use suigen_crds::virtual_server::{VirtualServer, VirtualServerStatus};

use super::plan::Plan;
use super::state::State;
use super::words::NOT_STALLED;
use crate::context::Context;
use crate::events::{Announcement, Told, between};
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
    let said = news(plan, &stored.conditions, &conditions);
    ctx.announce(server.object_ref(&()), said);
    Ok(match next {
        Outcome::Done => Outcome::Changed,
        Outcome::Changed | Outcome::Wait { .. } => next,
    })
}

/// What a person needs to hear. What somebody asked for, such as a power off or
/// a deletion, is none of it; nor is that no person need act.
fn news(plan: &Plan, before: &[Condition], after: &[Condition]) -> Vec<Announcement> {
    let stalled = Told::flips("Stalled", Status::False);
    let running = Told::flips("Running", Status::True);
    let going = matches!(
        plan.state,
        State::Releasing(_) | State::Unplugging(_) | State::Clearing | State::CrdTerminating
    );
    let mut told = vec![stalled];
    if going {
        // A deletion that is held up.
        told.extend((!plan.words.progress).then_some(Told { loud: true, ..running }));
    } else {
        // A server that waits says so; one that is off, or moments from its goal, need not.
        let scheduled = Told::flips("Scheduled", Status::True);
        told.extend([Told { loud: plan.waits_for_somebody(), ..scheduled }, running]);
        let interfaces = Told { loud: true, ..Told::flips("InterfacesReady", Status::True) };
        told.extend(plan.a_port_is_in_trouble().then_some(interfaces));
    }
    let mut said = between(before, after, &told);
    said.retain(|said| !NO_NEWS.contains(&said.reason.as_str()));
    said
}

/// Reasons of what somebody asked for.
const NO_NEWS: [&str; 4] = [NOT_STALLED, "PoweringOff", "Stopped", "PoweredOff"];

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
