//! Whether a placed server runs, in the words of its daemon. Pure.

use suigen_crds::condition::Finding;
use suigen_crds::virtual_server::{Placement, Runtime, RuntimeState, ServerPhase};

use super::observe::{Host, Observed};
use super::state::{Hurdle, word_of_holder};
use super::words::{Reached, wants_on};
use crate::reasons::{self, PERSON_MUST_ACT};

/// What is said about running.
#[derive(Debug)]
pub struct Run {
    /// The word for the eye.
    pub phase: ServerPhase,
    /// The condition `Running`.
    pub running: Finding,
    /// How far the desired state is reached.
    pub reached: Reached,
    /// Whether it says only that work goes on.
    pub progress: bool,
}

impl Run {
    const fn is(phase: ServerPhase, running: Finding, reached: Reached) -> Self {
        Self { phase, running, reached, progress: false }
    }

    const fn passing(phase: ServerPhase, running: Finding) -> Self {
        Self { phase, running, reached: Reached::NotYet, progress: true }
    }
}

/// Says whether a placed server runs.
pub fn run(observed: &Observed, placement: &Placement, hurdle: Option<&Hurdle>) -> Run {
    let node = &placement.node_name;
    if observed.host == Host::Silent {
        let message = format!(
            "{node} was not heard of lately; the server may still run there and is not started elsewhere: see to {node}"
        );
        let said = Finding::unknown("Running", "HypervisorUnreachable", message);
        return Run::is(ServerPhase::Unknown, said, Reached::Unknown);
    }
    let Some(on) = wants_on(observed) else {
        let message = "powerState has a value that this release does not know: upgrade Suigen, or use another";
        let said = Finding::unknown("Running", "PowerStateNotUnderstood", message);
        return Run::is(ServerPhase::Unknown, said, Reached::Stuck);
    };
    let status = observed.status();
    match word_of_holder(placement, status.runtime.as_ref()) {
        None => not_yet(node.as_str(), hurdle),
        Some(word) => said(observed, on, word, hurdle),
    }
}

fn not_yet(node: &str, hurdle: Option<&Hurdle>) -> Run {
    match hurdle {
        Some(Hurdle::Blocked(problem)) => {
            let said = Finding::no("Running", problem.reason, problem.message.clone());
            Run::is(ServerPhase::Failed, said, Reached::Stuck)
        }
        Some(Hurdle::Waits(problem)) if !problem.passing => {
            let said = Finding::no("Running", problem.reason, problem.message.clone());
            Run::is(ServerPhase::Preparing, said, Reached::NotYet)
        }
        Some(Hurdle::Waits(_)) | None => {
            let said = Finding::no("Running", "Preparing", format!("{node} prepares it"));
            Run::passing(ServerPhase::Preparing, said)
        }
    }
}

fn said(observed: &Observed, on: bool, word: &Runtime, hurdle: Option<&Hurdle>) -> Run {
    let node = word.node_name.as_str();
    let message = |fallback: String| word.message.clone().unwrap_or(fallback);
    let reason = |fallback| reasons::word(word.reason.as_deref(), fallback);
    let no = |reason, message: String| Finding::no("Running", reason, message);
    match (word.state, on) {
        (RuntimeState::Running, true) => {
            let said = Finding::yes("Running", "GuestRuns", format!("the guest runs on {node}"));
            Run::is(ServerPhase::Running, said, Reached::Yes)
        }
        (RuntimeState::Running | RuntimeState::Starting | RuntimeState::Paused, false)
        | (RuntimeState::Stopping, _) => {
            let said = no("PoweringOff", format!("{node} powers it off"));
            Run::passing(ServerPhase::Stopping, said)
        }
        (RuntimeState::Stopped | RuntimeState::Preparing | RuntimeState::Down, false)
        | (RuntimeState::Refused | RuntimeState::Released, false) => {
            let said = no("Stopped", "it is off, as desired".into());
            Run::is(ServerPhase::Stopped, said, Reached::Yes)
        }
        (RuntimeState::Preparing, true) => match (hurdle, &word.reason) {
            (None, None) => {
                Run::passing(ServerPhase::Preparing, no("Preparing", format!("{node} prepares it")))
            }
            (None, Some(_)) => {
                let said = no(reason("Preparing"), message(format!("{node} cannot start it yet")));
                Run::is(ServerPhase::Preparing, said, Reached::NotYet)
            }
            (Some(_), _) => not_yet(node, hurdle),
        },
        (RuntimeState::Stopped, true) if reason("Starting") == "GuestPoweredOff" => {
            let text = format!(
                "the guest powered itself off, and restartPolicy is {:?}: power it off and on to start it again",
                observed.server.spec.restart_policy
            );
            Run::is(ServerPhase::Stopped, no("GuestPoweredOff", text), Reached::Stuck)
        }
        (RuntimeState::Starting | RuntimeState::Stopped, true) => {
            Run::passing(ServerPhase::Starting, no("Starting", format!("{node} starts it")))
        }
        (RuntimeState::Paused, true) => {
            let said = no(reason("GuestPaused"), message(format!("{node} has paused the guest")));
            Run::is(ServerPhase::Failed, said, Reached::NotYet)
        }
        (RuntimeState::Down, true) => {
            let why = reason("GuestDown");
            let said = no(why, message(format!("its QEMU ended on {node}")));
            let act = PERSON_MUST_ACT.contains(&why);
            Run::is(ServerPhase::Failed, said, if act { Reached::Stuck } else { Reached::NotYet })
        }
        (RuntimeState::Refused | RuntimeState::Released, true) => {
            let said = no(reason("Refused"), message(format!("{node} gave it up")));
            Run::is(ServerPhase::Pending, said, Reached::NotYet)
        }
        (RuntimeState::QmpUnresponsive, _) => {
            let text = message("QEMU lives but does not answer; it is left alone".into());
            let said = Finding::unknown("Running", "QmpUnresponsive", text);
            Run::is(ServerPhase::Unknown, said, Reached::Unknown)
        }
        (RuntimeState::Unknown, _) => {
            let said = Finding::unknown(
                "Running",
                "RuntimeStateNotUnderstood",
                "the node-daemon is of a later release than the operator: upgrade the operator",
            );
            Run::is(ServerPhase::Unknown, said, Reached::Unknown)
        }
    }
}
