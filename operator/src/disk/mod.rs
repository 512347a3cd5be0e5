//! Disk: a volume from first to last.
//!
//! ```text
//! Pending ──class and image resolved, a server placed──► Creating ──► Ready ◄──► InUse
//!    └────────── deleted: nothing was made ──► gone        └► Failed     └─deleted─► Deleting ──► gone
//! ```
//! The daemon of `status.nodeName` makes and erases; the operator resolves
//! what the spec names, once, and lifts the finalizer when nothing is left.
//! Attachments are given out with the placement of their server.

mod apply;
pub mod decide;
mod observe;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use suigen_crds::disk::Disk;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// Looks at one disk.
///
/// # Errors
/// When something cannot be read or written.
pub async fn reconcile(disk: Arc<Disk>, ctx: Arc<Context>) -> Result<Outcome, write::Error> {
    if ctx.written.is_behind(&disk.metadata) {
        return Ok(Outcome::Changed);
    }
    let now = Timestamp::now();
    let observed = observe::gather(disk, &ctx).await?;
    let plan = decide::plan(&observed);
    let disk = match apply::carry_out(&observed, &plan, &ctx).await? {
        Some(disk) => disk,
        None => return Ok(Outcome::Changed),
    };
    status::write(&disk, &plan, now, &ctx).await
}
