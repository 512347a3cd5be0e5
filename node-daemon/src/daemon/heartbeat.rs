//! The heartbeat: the node's Lease.

use std::sync::Arc;
use std::time::Duration;

use crate::api::lease::RENEW_SECONDS;
use crate::report::runtime::explain;
use crate::vm::node::Node;

/// Renews the Lease for ever. At the daemon's end it is not given back:
/// guests go on, and the next daemon is there soon.
pub async fn beat(node: Arc<Node>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(RENEW_SECONDS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = node.api.renew_lease().await {
            tracing::warn!(reason = error.reason(), error = %explain(&error), "lease not renewed");
        }
    }
}
