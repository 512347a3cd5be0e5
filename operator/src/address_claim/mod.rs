//! AddressClaim: an address that is taken, until nobody can use it.
//!
//! Claims are made and deleted with their server. Here goes what was left over:
//! of a server or network that is gone, or of a choice that was never given out.

mod decide;
mod observe;

use std::sync::Arc;

use jiff::Timestamp;
use suigen_crds::address_claim::AddressClaim;

use self::decide::Plan;
use crate::context::Context;
use crate::metrics::count;
use crate::outcome::Outcome;
use crate::write;

/// Looks at one claim.
///
/// # Errors
/// When something cannot be read or written.
pub async fn reconcile(
    claim: Arc<AddressClaim>,
    ctx: Arc<Context>,
) -> Result<Outcome, write::Error> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Ok(Outcome::Done);
    }
    let now = Timestamp::now();
    let observed = observe::gather(claim, now, &ctx).await?; // I/O: only what no store vouches for
    match decide::plan(&observed) {
        Plan::Keep { reason, after } => Ok(Outcome::Wait { reason, after }),
        Plan::Sweep(why) => {
            let claim = &*observed.claim;
            write::delete(&ctx, &write::api_of(&ctx, claim), claim).await?;
            count(&ctx.metrics.swept, "AddressClaim", why);
            Ok(Outcome::Changed)
        }
    }
}
