//! What a look at a hypervisor takes in.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use suigen_crds::hypervisor::Hypervisor;

use super::heartbeat::Heartbeat;
use crate::context::Context;

/// A hypervisor and its heartbeat.
#[derive(Debug)]
pub struct Observed {
    /// The object.
    pub hypervisor: Arc<Hypervisor>,
    /// Its daemon's heartbeat.
    pub heartbeat: Heartbeat,
}

/// Gathers from the stores.
pub fn gather(hypervisor: Arc<Hypervisor>, ctx: &Context, now: Timestamp) -> Observed {
    let heartbeat = ctx.heartbeats.of(&hypervisor.name_any(), now);
    Observed { hypervisor, heartbeat }
}
