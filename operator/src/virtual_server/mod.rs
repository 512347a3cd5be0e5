//! VirtualServer: from a manifest to a run right, and back.
//!
//! ```text
//!            class, disks known         room found            daemon reports
//! Pending ─────────────────────► place ───────────► attach ────────────────► Running ◄─► Stopped
//!    ▲                                                 │ Refused (released)     │ deleted
//!    └──────────── again, under a higher epoch ◄───────┘                        ▼
//!                                               Terminating: released → disks closed → gone
//! ```
//! A decision and the promise of room that goes with it are made under one
//! lock, without I/O in between; so a burst of servers never books a room twice.

mod apply;
pub mod decide;
pub mod disks;
pub mod interfaces;
pub mod observe;
mod plan;
mod running;
pub mod state;
mod status;
mod words;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use suigen_crds::virtual_server::VirtualServer;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// When a server in a namespace that is being deleted is looked at again.
const NAMESPACE_GOES: Duration = Duration::from_secs(60);

/// Whether the API server made nothing because the namespace is being deleted.
fn namespace_goes(error: &write::Error) -> bool {
    let write::Error::Api { source, .. } = error else { return false };
    let kube::Error::Api(status) = &**source else { return false };
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    status.code == 403 && causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Looks at one server.
///
/// # Errors
/// When something cannot be read or written.
pub async fn reconcile(
    server: Arc<VirtualServer>,
    ctx: Arc<Context>,
) -> Result<Outcome, write::Error> {
    if ctx.written.is_behind(&server.metadata) {
        return Ok(Outcome::Changed);
    }
    let now = Timestamp::now();
    let deletion = observe::deletion(&server, &ctx).await?; // I/O: the CRD, if the server is to go
    let (observed, plan) = {
        let mut ledger = ctx.ledger();
        let observed = observe::gather(server, deletion, now, &ctx, &mut ledger); // stores only
        let plan = decide::plan(&observed); // pure: the whole answer
        apply::promise(&observed, &plan, &mut ledger);
        (observed, plan)
    };
    ctx.wake.waits_for_room(&observed.server, plan.waits_for_room());
    match apply::carry_out(&observed, &plan, &ctx).await {
        // I/O: finalizer, disks, placement; then what people read
        Ok(applied) => status::write(&applied, &plan, now, &ctx).await,
        Err(error) if namespace_goes(&error) => {
            // Nothing can be made there any more; the server itself is about to
            // be deleted, which wakes it.
            tracing::debug!(%error, "its namespace is being deleted");
            Ok(Outcome::Wait { reason: "NamespaceTerminating", after: NAMESPACE_GOES })
        }
        Err(error) => {
            if let Some(plan) = decide::refused(&observed, &error) {
                status::write(&observed.server, &plan, now, &ctx).await?;
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_namespace_that_goes_is_told_from_other_refusals() {
        let answer = |reason: &str| {
            let mut status = Status::failure("forbidden", "Forbidden");
            status.code = 403;
            let details = serde_json::json!({"causes": [{"reason": reason}]});
            status.details = serde_json::from_value(details).unwrap();
            write::Error::of("create", "acme/web.eth0".into(), kube::Error::Api(Box::new(status)))
        };
        assert!(namespace_goes(&answer("NamespaceTerminating")));
        assert!(!namespace_goes(&answer("Quota")));
    }
}
