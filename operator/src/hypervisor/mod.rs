//! Hypervisor: whether it takes part, seen from outside.
//!
//! Its daemon says what it can do; the operator adds the condition `Ready`,
//! because a daemon that is silent cannot say that it is.

pub mod decide;
pub mod heartbeat;
mod observe;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use suigen_crds::hypervisor::Hypervisor;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// What a heartbeat lease is called, before the node's name.
pub const LEASE_PREFIX: &str = "hypervisor-";

/// Looks at one hypervisor.
///
/// # Errors
/// When the condition cannot be written.
pub async fn reconcile(
    hypervisor: Arc<Hypervisor>,
    ctx: Arc<Context>,
) -> Result<Outcome, write::Error> {
    if ctx.written.is_behind(&hypervisor.metadata) {
        return Ok(Outcome::Changed);
    }
    let now = Timestamp::now();
    let observed = observe::gather(hypervisor, &ctx, now);
    let plan = decide::plan(&observed, now);
    status::write(&observed, &plan, now, &ctx).await?;
    Ok(plan.next)
}
