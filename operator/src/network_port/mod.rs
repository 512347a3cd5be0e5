//! NetworkPort: from the first binding to the last word of its node.
//!
//! ```text
//! (POST by virtual_server) ──► bound ──deleted──► the node says Removed ──► gone
//!                                └─ its server is gone: deleted here
//! ```
//! Ports are made and bound with their server. Here its finalizer is lifted,
//! which only the bound node's own word does, or that it was never bound.

mod apply;
pub mod census;
mod decide;
mod observe;

use std::sync::Arc;

use jiff::Timestamp;
use suigen_crds::network_port::NetworkPort;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// Looks at one port.
///
/// # Errors
/// When something cannot be read or written.
pub async fn reconcile(port: Arc<NetworkPort>, ctx: Arc<Context>) -> Result<Outcome, write::Error> {
    if ctx.written.is_behind(&port.metadata) {
        return Ok(Outcome::Changed);
    }
    let now = Timestamp::now();
    let observed = observe::gather(port, now, &ctx).await?; // I/O: only what no store vouches for
    let plan = decide::plan(&observed); // pure
    apply::carry_out(&observed, plan, &ctx).await // I/O: finalizer, deletion, hosts of the segment
}
