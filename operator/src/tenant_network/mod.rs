//! TenantNetwork: one layer-2 network, from its VNI to the release of it.
//!
//! ```text
//! Pending ──MTU known, NetworkSegment created──► Ready ──deleted──► PortsRemain ──► segment Releasing ──► gone
//!    └─ NoUnderlay, MtuDoesNotFit, GatewayIsReserved, VniRangeExhausted
//! ```
//! The segment's name is what takes the VNI: two operators that try the same
//! one for two networks see one of them refused. `status.vni` is written once,
//! after the segment is there; a crash in between is found by the network's UID.

pub mod allocate;
mod apply;
mod decide;
mod observe;
#[cfg(test)]
mod race_tests;
pub mod room;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use suigen_crds::tenant_network::TenantNetwork;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// Looks at one network.
///
/// # Errors
/// When something cannot be read or written.
pub async fn reconcile(
    network: Arc<TenantNetwork>,
    ctx: Arc<Context>,
) -> Result<Outcome, write::Error> {
    if ctx.written.is_behind(&network.metadata) {
        return Ok(Outcome::Changed);
    }
    let now = Timestamp::now();
    let observed = observe::gather(network, now, &ctx).await?; // I/O: ports and segments, if it is to go
    let plan = decide::plan(&observed); // pure
    match apply::carry_out(&observed, &plan, now, &ctx).await? {
        Some(network) => status::write(&network, &plan, now, &ctx).await,
        None => Ok(Outcome::Changed),
    }
}
