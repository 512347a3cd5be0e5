//! What a segment comes to. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use suigen_crds::network_segment::{NetworkSegment, QUARANTINE_SECONDS, SegmentPhase};

use super::observe::{Evidence, Observed};
use super::status::{self, Wait};
use crate::hypervisor::heartbeat::until;
use crate::network_port::census::Seen;
use crate::sweep::{AGAIN, Owner};

/// What is to be done with a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing, until then.
    Keep {
        /// Why, in one word.
        reason: &'static str,
        /// When to look again.
        after: Duration,
    },
    /// Its network has no use for it any more.
    Release(&'static str),
    /// It is being released.
    Wait {
        /// For what.
        wait: Wait,
        /// When to look again.
        after: Duration,
    },
    /// Its VNI is free: it is to be deleted.
    Free,
}

/// Decides.
pub fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let segment = &*observed.segment;
    match segment.status.as_ref().and_then(|status| status.phase) {
        Some(SegmentPhase::Releasing) => releasing(observed, now),
        Some(SegmentPhase::Unknown) => keep("PhaseNotUnderstood"),
        Some(SegmentPhase::InUse) | None => in_use(observed),
    }
}

/// Until when a released segment stays taken at least; none when it does not
/// say since when it is released.
pub fn quarantine_ends(segment: &NetworkSegment) -> Option<Timestamp> {
    let since = segment.status.as_ref()?.released_at.as_ref()?.0;
    Some(since.checked_add(SignedDuration::from_secs(QUARANTINE_SECONDS)).unwrap_or(Timestamp::MAX))
}

const fn keep(reason: &'static str) -> Plan {
    Plan::Keep { reason, after: AGAIN }
}

fn in_use(observed: &Observed) -> Plan {
    let segment = &*observed.segment;
    let (owner, ports) = match &observed.evidence {
        Evidence::Enough | Evidence::Ripe(_) => return keep("InUse"),
        Evidence::Young(left) => return Plan::Keep { reason: "Young", after: *left },
        Evidence::Read { owner, ports } => (owner, ports),
    };
    let why = match owner {
        Owner::Doubtful => return keep("CrdTerminating"),
        Owner::Gone => "NetworkGone",
        Owner::There(network) => {
            let vni = network.pointer("/status/vni").and_then(serde_json::Value::as_u64);
            match vni {
                Some(vni) if vni != u64::from(segment.spec.vni.get()) => "NotItsVni",
                Some(_) | None => return keep("InUse"),
            }
        }
    };
    if uses(segment, ports).next().is_some() {
        return keep("PortsRemain");
    }
    Plan::Release(why)
}

fn releasing(observed: &Observed, now: Timestamp) -> Plan {
    let segment = &*observed.segment;
    // A phase without its time is not ours; the time starts now.
    let Some(end) = quarantine_ends(segment) else { return Plan::Release("Again") };
    let ports: Vec<_> = match &observed.evidence {
        Evidence::Ripe(ports) => uses(segment, ports).map(|p| p.server().to_owned()).collect(),
        Evidence::Enough | Evidence::Young(_) | Evidence::Read { .. } => Vec::new(),
    };
    let over = end <= now;
    let ripe = matches!(observed.evidence, Evidence::Ripe(_));
    if over && ripe && ports.is_empty() && observed.missing.is_empty() {
        return Plan::Free;
    }
    let wait = status::wait(end, &observed.missing, &ports, over);
    let after = if over { AGAIN } else { until(end, now).min(AGAIN) };
    Plan::Wait { wait, after }
}

fn uses<'a>(segment: &'a NetworkSegment, ports: &'a [Seen]) -> impl Iterator<Item = &'a Seen> {
    let spec = &segment.spec;
    ports.iter().filter(|port| port.may_be_in(&spec.network.uid) && port.may_use(spec.vni))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
