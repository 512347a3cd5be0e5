//! Carries out what was decided on a disk.

use std::sync::Arc;

use suigen_crds::disk::Disk;

use super::decide::Plan;
use super::observe::Observed;
use crate::context::Context;
use crate::finalizer::{Finalizer, is_held};
use crate::write;

/// Adds or lifts the finalizer. Gives back the disk as it is then; none when
/// it is gone.
///
/// # Errors
/// When the API server does not take it.
pub async fn carry_out(
    observed: &Observed,
    plan: &Plan,
    ctx: &Context,
) -> Result<Option<Arc<Disk>>, write::Error> {
    let disk = &observed.disk;
    let api = write::api_of(ctx, &**disk);
    match plan.finalizer {
        Finalizer::Keep => Ok(Some(disk.clone())),
        Finalizer::Add => {
            let written = write::finalizer(ctx, &api, &**disk, true).await?;
            Ok(Some(Arc::new(written)))
        }
        Finalizer::Lift => {
            if is_held(&**disk) {
                let last = write::finalizer(ctx, &api, &**disk, false).await?;
                ctx.forget(&last);
            }
            Ok(None)
        }
    }
}
