//! The heartbeat: the node's Lease.

use std::sync::Arc;
use std::time::Duration;

use crate::api::lease::RENEW_SECONDS;
use crate::report::runtime::explain;
use crate::vm::node::Node;

/// Renews the Lease until the daemon stops. It is not given back at the end:
/// guests go on, and the next daemon is there soon.
pub async fn beat(node: Arc<Node>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(RENEW_SECONDS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = node.stop.cancelled() => return,
        }
        if let Err(error) = node.api.renew_lease().await {
            tracing::warn!(reason = error.reason(), error = %explain(&error), "lease not renewed");
        }
    }
}
