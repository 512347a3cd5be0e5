//! AddressClaim: wired; what is done about it follows.

use std::sync::Arc;

use suigen_crds::address_claim::AddressClaim;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// Looks at one.
///
/// # Errors
/// None yet.
pub async fn reconcile(_: Arc<AddressClaim>, _: Arc<Context>) -> Result<Outcome, write::Error> {
    Ok(Outcome::Done)
}
