//! What people read of a server: conditions and phase from where it stands.
//! Pure.

use suigen_crds::condition::{Finding, Status};
use suigen_crds::ident::Uid;
use suigen_crds::virtual_server::{Placement, PowerState, ServerPhase};

use super::disks::{self, Hurdle};
use super::observe::{Host, Observed};
use super::running::{Run, run};
use super::state::{Problem, State, Why};

/// What is to be said of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The word for the eye.
    pub phase: ServerPhase,
    /// All conditions, always the same types in the same order.
    pub findings: Vec<Finding>,
    /// Whether they say only that work goes on.
    pub progress: bool,
}

/// How far the desired state is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It is.
    Yes,
    /// Work goes on.
    NotYet,
    /// A person must act.
    Stuck,
    /// Nobody can tell.
    Unknown,
}

/// The words for where a server stands.
pub fn words(observed: &Observed, state: &State) -> Words {
    match state {
        State::CrdTerminating => crd_terminating(observed),
        State::Releasing(placement) => releasing(observed, placement),
        State::Clearing => terminating("Released", "its disks are being closed".into(), true),
        State::Held(placement) | State::Placing(placement) => held(observed, placement),
        State::Unplaced(why) => unplaced(observed, why),
    }
}

/// Puts all conditions together: the three steps as given, and `Ready`,
/// `Reconciling`, `Stalled` from how far it came.
fn compose(
    phase: ServerPhase,
    steps: [Finding; 3],
    reached: Reached,
    about: (&'static str, String),
) -> Words {
    let (reason, message) = about;
    let [ready, reconciling, stalled] = match reached {
        Reached::Yes => [Status::True, Status::False, Status::False],
        Reached::NotYet => [Status::False, Status::True, Status::False],
        Reached::Stuck => [Status::False, Status::False, Status::True],
        Reached::Unknown => [Status::Unknown, Status::True, Status::False],
    };
    let say = |type_, status, quiet: &str| Finding {
        type_,
        status,
        reason: if status == Status::False && type_ == "Stalled" { "NothingToDo" } else { reason },
        message: if status == Status::False && !quiet.is_empty() {
            quiet.into()
        } else {
            message.clone()
        },
    };
    let mut findings = Vec::from(steps);
    findings.push(say("Ready", ready, ""));
    findings.push(say("Reconciling", reconciling, "nothing is under way"));
    findings.push(say("Stalled", stalled, "no person need act"));
    Words { phase, findings, progress: false }
}

fn unplaced(observed: &Observed, why: &Why) -> Words {
    let (reason, message, reached, progress) = match why {
        Why::PoweredOff => {
            let message = "it is off, as desired, and placed when it is powered on".to_owned();
            ("PoweredOff", message, Reached::Yes, false)
        }
        Why::Waits(Problem { reason, message, passing }) => {
            (*reason, message.clone(), Reached::NotYet, *passing)
        }
        Why::Blocked(Problem { reason, message, .. }) => {
            (*reason, message.clone(), Reached::Stuck, false)
        }
        Why::NoRoom { message, .. } => {
            ("NoHypervisorFits", message.clone(), Reached::NotYet, false)
        }
        Why::Behind => ("Waiting", "its disks are being read".to_owned(), Reached::NotYet, true),
    };
    let phase = match reached {
        Reached::Yes => ServerPhase::Stopped,
        Reached::Stuck => ServerPhase::Failed,
        Reached::NotYet | Reached::Unknown => ServerPhase::Pending,
    };
    let (disks, passing) = unplaced_disks(observed, why);
    let steps = [
        Finding::no("Scheduled", reason, message.clone()),
        disks,
        Finding::no("Running", "NotPlaced", "no hypervisor has it"),
    ];
    let progress = progress || passing;
    Words { progress, ..compose(phase, steps, reached, (reason, message)) }
}

/// The words about disks, and whether they are of a step that is under way.
fn unplaced_disks(observed: &Observed, why: &Why) -> (Finding, bool) {
    let uid = observed.server.metadata.uid.clone().and_then(|uid| Uid::try_from(uid).ok());
    match uid.and_then(|uid| disks::hurdle(observed, &uid)) {
        Some(Hurdle::Waits(problem) | Hurdle::Blocked(problem)) => {
            (Finding::no("DisksReady", problem.reason, problem.message), problem.passing)
        }
        None if matches!(why, Why::Behind) => {
            (Finding::unknown("DisksReady", "Waiting", "its disks are being read"), true)
        }
        None => {
            let message = "disks that are not made yet are made where the server is placed";
            (Finding::unknown("DisksReady", "NotPlaced", message), false)
        }
    }
}

fn held(observed: &Observed, placement: &Placement) -> Words {
    let node = &placement.node_name;
    let scheduled = Finding::yes(
        "Scheduled",
        "Placed",
        format!("{node} has the run right, epoch {}", placement.epoch),
    );
    let hurdle = observed
        .server
        .metadata
        .uid
        .clone()
        .and_then(|uid| Uid::try_from(uid).ok())
        .and_then(|uid| disks::not_ready(observed, &uid, placement));
    let disks = match &hurdle {
        None => Finding::yes("DisksReady", "VolumesReady", format!("all volumes are on {node}")),
        Some(Hurdle::Waits(problem) | Hurdle::Blocked(problem)) => {
            Finding::no("DisksReady", problem.reason, problem.message.clone())
        }
    };
    let Run { phase, running, reached, progress } = run(observed, placement, hurdle.as_ref());
    let about = (running.reason, running.message.clone());
    Words { progress, ..compose(phase, [scheduled, disks, running], reached, about) }
}

fn terminating(reason: &'static str, message: String, progress: bool) -> Words {
    let steps = [
        Finding::unknown("Scheduled", "Terminating", "it is being deleted"),
        Finding::unknown("DisksReady", "Terminating", "it is being deleted"),
        Finding::unknown("Running", reason, message.clone()),
    ];
    let words = compose(ServerPhase::Terminating, steps, Reached::NotYet, (reason, message));
    Words { progress, ..words }
}

fn releasing(observed: &Observed, placement: &Placement) -> Words {
    let node = &placement.node_name;
    if observed.host == Host::Silent {
        let message = format!(
            "{node}, which has the run right, was not heard of lately; the server goes when {node} is back and has given it up"
        );
        return terminating("HypervisorUnreachable", message, false);
    }
    terminating("PoweringOff", format!("{node} powers it off"), true)
}

fn crd_terminating(observed: &Observed) -> Words {
    let message = "the CRD virtualservers.suigen.dev is being deleted, which marks every server; none is stopped for that";
    let unknown = |type_| Finding::unknown(type_, "CrdTerminating", message);
    let phase = observed.status().phase.unwrap_or(ServerPhase::Unknown);
    let steps = [unknown("Scheduled"), unknown("DisksReady"), unknown("Running")];
    compose(phase, steps, Reached::Stuck, ("CrdTerminating", message.into()))
}

/// Whether the server is wanted on; an unknown value wants nothing.
pub fn wants_on(observed: &Observed) -> Option<bool> {
    match observed.server.spec.power_state {
        PowerState::PoweredOn => Some(true),
        PowerState::PoweredOff => Some(false),
        PowerState::Unknown => None,
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
