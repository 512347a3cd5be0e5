//! NetworkSegment: a VNI from its taking to its end.
//!
//! ```text
//! (POST by tenant_network) ──► in use ──network gone, or has another VNI──► Releasing ──► deleted: free
//!                                                    hosts confirm, 300 s pass ──────────┘
//! ```
//! Its name is what takes the VNI; so nothing here is created, and it is
//! deleted only on evidence: each hypervisor's own word, and an API server that
//! knows no port. Time alone frees nothing.

mod apply;
mod decide;
mod observe;
mod status;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use suigen_crds::network_segment::NetworkSegment;

pub use self::apply::release;
use crate::context::Context;
use crate::outcome::Outcome;
use crate::write;

/// Looks at one segment.
///
/// # Errors
/// When something cannot be read or written.
pub async fn reconcile(
    segment: Arc<NetworkSegment>,
    ctx: Arc<Context>,
) -> Result<Outcome, write::Error> {
    if ctx.written.is_behind(&segment.metadata) {
        return Ok(Outcome::Changed);
    }
    let now = Timestamp::now();
    let observed = observe::gather(segment, now, &ctx).await?; // I/O: only what no store vouches for
    let plan = decide::plan(&observed, now); // pure
    apply::carry_out(&observed, &plan, now, &ctx).await // I/O: release, message, deletion
}

/// Segments whose release waits for more than time, by UID.
#[derive(Debug, Default)]
pub struct HeldUp {
    segments: Mutex<HashSet<String>>,
}

impl HeldUp {
    /// Notes whether a segment is one of them. Gives back how many there are.
    pub fn note(&self, uid: &str, is: bool) -> i64 {
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        if is {
            segments.insert(uid.to_owned());
        } else {
            segments.remove(uid);
        }
        i64::try_from(segments.len()).unwrap_or(i64::MAX)
    }
}
