//! What a reconcile comes to: a closed set, so that a wait always has a reason.

use std::time::Duration;

use kube::runtime::controller::Action;

/// The end of one reconcile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do; a change of any input wakes the object again.
    Done,
    /// Something was written; its echo in the watch wakes the object again.
    Changed,
    /// It waits for something that no watch will tell in time.
    Wait {
        /// What for, in one CamelCase word.
        reason: &'static str,
        /// When to look again at the latest.
        after: Duration,
    },
}

impl Outcome {
    /// The word for metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Changed => "changed",
            Self::Wait { .. } => "wait",
        }
    }

    /// What the queue is told.
    pub fn action(&self) -> Action {
        match self {
            Self::Done | Self::Changed => Action::await_change(),
            Self::Wait { after, .. } => Action::requeue(*after),
        }
    }
}
