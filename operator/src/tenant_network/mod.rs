//! TenantNetwork: wired; what is done about it follows.

pub mod allocate;

use std::sync::Arc;

use suigen_crds::tenant_network::TenantNetwork;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// Looks at one.
///
/// # Errors
/// None yet.
pub async fn reconcile(_: Arc<TenantNetwork>, _: Arc<Context>) -> Result<Outcome, write::Error> {
    Ok(Outcome::Done)
}
