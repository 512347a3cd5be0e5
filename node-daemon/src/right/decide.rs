//! What an object, as a quorum read shows it, allows this node to do. Pure.
//!
//! Nothing here follows from absence: a missing object, another one of the same
//! name or a missing placement ends nothing. Only a higher epoch does.

use suigen_crds::ident::{Epoch, LogId, NodeName, Uid};
use suigen_crds::right::is_released;
use suigen_crds::virtual_server::VirtualServer;

use super::history::History;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Me {
    /// This node.
    pub node: NodeName,
    /// This node's write-ahead log.
    pub log: LogId,
}

/// A placement, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub epoch: Epoch,
    /// It names this node.
    pub here: bool,
    /// It is made out to this node's log.
    pub our_log: bool,
    /// The object is being deleted, and not only because its CRD is.
    pub ending: bool,
    /// The object says already that this right was given up.
    pub said_released: bool,
}

/// What a quorum read showed of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// There is no object of that name.
    Absent,
    /// There is one, of another UID.
    Replaced,
    /// There is one without a placement.
    Unplaced,
    /// There is one with a placement.
    Placed(Claim),
}

impl View {
    /// Looks at an object for `me`; `crd_terminating` says that deletion marks
    /// mean nothing now.
    #[must_use]
    pub fn of(me: &Me, uid: &Uid, object: Option<&VirtualServer>, crd_terminating: bool) -> Self {
        let Some(object) = object else { return Self::Absent };
        if object.metadata.uid.as_deref() != Some(uid.as_str()) {
            return Self::Replaced;
        }
        let status = object.status.as_ref();
        let Some(placement) = status.and_then(|status| status.placement.as_ref()) else {
            return Self::Unplaced;
        };
        Self::Placed(Claim {
            epoch: placement.epoch,
            here: placement.node_name == me.node,
            our_log: placement.wal_id == me.log,
            ending: object.metadata.deletion_timestamp.is_some() && !crd_terminating,
            said_released: is_released(placement, status.and_then(|s| s.runtime.as_ref())),
        })
    }
}

/// A guest's process on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The right that it was started under, where a record or the log knows it.
    pub epoch: Option<Epoch>,
}

/// What this node may or must do about one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The right is ours and in the log.
    Hold {
        /// Its number.
        epoch: Epoch,
        /// The server is to be ended and the right released.
        ending: bool,
    },
    /// The right is offered to us: check, log `HELD`, then act.
    Take {
        /// Its number.
        epoch: Epoch,
    },
    /// The right cannot be honoured; say so.
    Refuse {
        /// Its number.
        epoch: Epoch,
        /// Why.
        why: Refusal,
        /// The highest epoch that may be called given up.
        released: Epoch,
    },
    /// The right was given up while the server ends, and that is not yet known.
    SayReleased {
        /// The placement's number.
        epoch: Epoch,
        /// The highest epoch that was given up.
        released: Epoch,
    },
    /// The right has ended by decision: stop what runs, clean up, log, say nothing.
    Superseded {
        /// The right that ended.
        held: Epoch,
    },
    /// A guest runs here that the API does not know like this. Leave it alone.
    Orphan(OrphanReason),
    /// Nothing is ours to do.
    Idle,
    /// The object is gone and the right was given up: the log can go.
    Forget,
}

/// Why a placement is declined on sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is made out to a log that this node no longer has.
    LogReplaced,
    /// This node knows of a higher epoch.
    StaleEpoch,
    /// This node gave up that very epoch before.
    GivenUp,
}

impl Refusal {
    /// The word for status and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::LogReplaced => "LogReplaced",
            Self::StaleEpoch => "StaleEpoch",
            Self::GivenUp => "GivenUp",
        }
    }

    /// The sentence for people.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::LogReplaced => {
                "the node's run-right log is not the one that the server was placed under: the node was wiped or installed anew"
            }
            Self::StaleEpoch => {
                "the node knows of a higher epoch of this server: the API was restored from an older state"
            }
            Self::GivenUp => "the node gave up this epoch before",
        }
    }
}

/// Why a guest counts as an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrphanReason {
    /// There is no object.
    ObjectMissing,
    /// Another object has its name.
    ObjectReplaced,
    /// The object has no placement.
    NotPlaced,
    /// It is placed elsewhere, under an epoch that does not end ours.
    PlacedElsewhere,
    /// The placement is made out to another log of this node.
    LogReplaced,
    /// The placement is older than what runs.
    StaleEpoch,
    /// The API says that we gave the right up, yet the guest runs.
    SaidReleased,
    /// Nobody knows under which right it runs.
    EpochUnknown,
}

impl OrphanReason {
    /// The word for status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ObjectMissing => "ObjectMissing",
            Self::ObjectReplaced => "ObjectReplaced",
            Self::NotPlaced => "NotPlaced",
            Self::PlacedElsewhere => "PlacedElsewhere",
            Self::LogReplaced => "LogReplaced",
            Self::StaleEpoch => "StaleEpoch",
            Self::SaidReleased => "SaidReleased",
            Self::EpochUnknown => "EpochUnknown",
        }
    }
}

/// Judges what a quorum read showed.
#[must_use]
pub fn judge(view: View, history: &History, guest: Option<Running>) -> Verdict {
    match (view, guest) {
        (View::Absent, Some(_)) => Verdict::Orphan(OrphanReason::ObjectMissing),
        (View::Replaced, Some(_)) => Verdict::Orphan(OrphanReason::ObjectReplaced),
        (View::Unplaced, Some(_)) => Verdict::Orphan(OrphanReason::NotPlaced),
        (View::Absent | View::Replaced, None) if history.held.is_none() => Verdict::Forget,
        (View::Absent | View::Replaced | View::Unplaced, None) => Verdict::Idle,
        (View::Placed(claim), Some(guest)) => with_guest(claim, history, guest),
        (View::Placed(claim), None) => without_guest(claim, history),
    }
}

fn with_guest(claim: Claim, history: &History, guest: Running) -> Verdict {
    use OrphanReason as Why;
    let logged = history.held.as_ref().map(|held| held.epoch);
    let Some(runs) = guest.epoch.or(logged) else {
        return Verdict::Orphan(match (claim.here, claim.our_log) {
            (true, false) => Why::LogReplaced,
            _ => Why::EpochUnknown,
        });
    };
    let superseded = Verdict::Superseded { held: runs };
    match (claim.here, claim.epoch.cmp(&runs)) {
        (false, std::cmp::Ordering::Greater) => superseded,
        (false, _) => Verdict::Orphan(Why::PlacedElsewhere),
        (true, _) if !claim.our_log => Verdict::Orphan(Why::LogReplaced),
        (true, std::cmp::Ordering::Greater) => superseded,
        (true, std::cmp::Ordering::Less) => Verdict::Orphan(Why::StaleEpoch),
        (true, std::cmp::Ordering::Equal) if claim.said_released => {
            Verdict::Orphan(Why::SaidReleased)
        }
        (true, std::cmp::Ordering::Equal) if claim.ending || logged == Some(runs) => {
            Verdict::Hold { epoch: runs, ending: claim.ending }
        }
        (true, std::cmp::Ordering::Equal) => Verdict::Take { epoch: runs },
    }
}

fn without_guest(claim: Claim, history: &History) -> Verdict {
    let epoch = claim.epoch;
    let held = history.held.as_ref().map(|held| held.epoch);
    if !claim.here {
        return match held {
            Some(held) if epoch > held => Verdict::Superseded { held },
            _ => Verdict::Idle,
        };
    }
    if claim.said_released {
        return Verdict::Idle;
    }
    let highest = history.highest.max(Some(epoch)).unwrap_or(epoch);
    let given_up = history.given_up.is_some_and(|given_up| given_up >= epoch);
    let refuse = |why| match claim.ending {
        true => Verdict::SayReleased { epoch, released: highest },
        false => Verdict::Refuse { epoch, why, released: highest },
    };
    if !claim.our_log {
        return refuse(Refusal::LogReplaced);
    }
    if epoch < highest {
        return refuse(Refusal::StaleEpoch);
    }
    if given_up {
        return refuse(Refusal::GivenUp);
    }
    if claim.ending || held == Some(epoch) {
        return Verdict::Hold { epoch, ending: claim.ending };
    }
    Verdict::Take { epoch }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
