//! What people read of a server: conditions and phase from where it stands.
//! Pure.

use kube::ResourceExt;
use suigen_crds::condition::{Finding, Status};
use suigen_crds::ident::Uid;
use suigen_crds::virtual_server::{Placement, PowerState, ServerPhase};

use super::decide::own;
use super::disks;
use super::interfaces::{choose, wiring};
use super::observe::{Host, Observed};
use super::running::{Run, run};
use super::state::{Hurdle, Problem, State, Why};

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

/// The reason of `Stalled` when it is not: nobody need read it.
pub const NOT_STALLED: &str = "NotStalled";

/// The words for where a server stands.
pub fn words(observed: &Observed, state: &State) -> Words {
    match state {
        State::CrdTerminating => crd_terminating(observed),
        State::Releasing(placement) => releasing(observed, placement),
        State::Unplugging(nodes) => unplugging(observed, nodes),
        State::Clearing => terminating("Released", "its disks are being closed".into(), true),
        State::Held(placement) | State::Placing(placement) => held(observed, placement),
        State::Unplaced(why) => unplaced(observed, why),
    }
}

/// Puts all conditions together: the four steps as given, and `Ready`,
/// `Reconciling`, `Stalled` from how far it came.
fn compose(
    phase: ServerPhase,
    steps: [Finding; 4],
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
        reason: if status == Status::False && type_ == "Stalled" { NOT_STALLED } else { reason },
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
    let (interfaces, unplugged) = unplaced_interfaces(observed, why);
    let steps = [
        Finding::no("Scheduled", reason, message.clone()),
        disks,
        interfaces,
        Finding::no("Running", "NotPlaced", "no hypervisor has it"),
    ];
    let progress = progress || passing || unplugged;
    Words { progress, ..compose(phase, steps, reached, (reason, message)) }
}

/// The words about disks, and whether they are of a step that is under way.
fn unplaced_disks(observed: &Observed, why: &Why) -> (Finding, bool) {
    match uid(observed).and_then(|uid| disks::hurdle(observed, &uid)) {
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

fn uid(observed: &Observed) -> Option<Uid> {
    observed.server.metadata.uid.clone().and_then(|uid| Uid::try_from(uid).ok())
}

/// As [`unplaced_disks`], of the interfaces.
fn unplaced_interfaces(observed: &Observed, why: &Why) -> (Finding, bool) {
    const TYPE: &str = "InterfacesReady";
    if observed.interfaces.wanted.is_empty() {
        return (no_interfaces(), false);
    }
    if matches!(why, Why::Behind) {
        return (Finding::unknown(TYPE, "Waiting", "its ports are being read"), true);
    }
    let (name, kept) = (observed.server.name_any(), observed.status().interfaces);
    let chosen = uid(observed).map(|uid| {
        let own = own(&observed.server, &name, &uid);
        choose::choose(&own, &observed.interfaces, &kept)
    });
    match chosen {
        Some(Err(hurdle)) => {
            let Problem { reason, message, passing } = hurdle.problem().clone();
            (Finding::no(TYPE, reason, message), passing)
        }
        Some(Ok(_)) | None => {
            let message =
                "its interfaces get addresses when the server is placed, and are bound there";
            (Finding::unknown(TYPE, "NotPlaced", message), false)
        }
    }
}

fn no_interfaces() -> Finding {
    Finding::yes("InterfacesReady", "NoInterfaces", "it has no network interfaces")
}

/// What keeps the interfaces of a placed server from being ready.
fn unbound(observed: &Observed, uid: &Uid, placement: &Placement) -> Option<Hurdle> {
    let (name, placed) = (observed.server.name_any(), observed.status().interfaces);
    let own = own(&observed.server, &name, uid);
    // Those that are placed by this very plan are not in the status yet.
    let placing = observed.status().placement.as_ref() != Some(placement);
    if placing && !observed.interfaces.wanted.is_empty() {
        let message = format!("its interfaces are being bound to {}", placement.node_name);
        return Some(Hurdle::Waits(Problem::passing("BindingPorts", message)));
    }
    wiring::not_ready(&own, &observed.interfaces, &placed, placement)
}

fn interfaces_ready(
    observed: &Observed,
    placement: &Placement,
    unbound: Option<&Hurdle>,
) -> Finding {
    match unbound.map(Hurdle::problem) {
        Some(Problem { reason, message, .. }) => {
            Finding::no("InterfacesReady", reason, message.clone())
        }
        None if observed.interfaces.wanted.is_empty() => no_interfaces(),
        None => {
            let message = format!("all interfaces are bound to {}", placement.node_name);
            Finding::yes("InterfacesReady", "PortsBound", message)
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
    let uid = uid(observed);
    let hurdle = uid.as_ref().and_then(|uid| disks::not_ready(observed, uid, placement));
    let disks = match &hurdle {
        None => Finding::yes("DisksReady", "VolumesReady", format!("all volumes are on {node}")),
        Some(Hurdle::Waits(problem) | Hurdle::Blocked(problem)) => {
            Finding::no("DisksReady", problem.reason, problem.message.clone())
        }
    };
    let unbound = uid.as_ref().and_then(|uid| unbound(observed, uid, placement));
    let interfaces = interfaces_ready(observed, placement, unbound.as_ref());
    let hurdle = hurdle.or_else(|| unbound.clone());
    let Run { phase, running, reached, progress } = run(observed, placement, hurdle.as_ref());
    let steps = [scheduled, disks, interfaces, running.clone()];
    match unbound.filter(|_| reached == Reached::Yes && wants_on(observed) == Some(true)) {
        // It runs, but not as it should: a network of it does not work.
        Some(hurdle) => {
            let Problem { reason, message, passing } = hurdle.problem().clone();
            let reached = match hurdle {
                Hurdle::Waits(_) => Reached::NotYet,
                Hurdle::Blocked(_) => Reached::Stuck,
            };
            Words { progress: passing, ..compose(phase, steps, reached, (reason, message)) }
        }
        None => {
            let about = (running.reason, running.message);
            Words { progress, ..compose(phase, steps, reached, about) }
        }
    }
}

fn terminating(reason: &'static str, message: String, progress: bool) -> Words {
    let steps = [
        Finding::unknown("Scheduled", "Terminating", "it is being deleted"),
        Finding::unknown("DisksReady", "Terminating", "it is being deleted"),
        Finding::unknown("InterfacesReady", "Terminating", "it is being deleted"),
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

fn unplugging(observed: &Observed, nodes: &str) -> Words {
    let silent = observed.host == Host::Silent;
    let message = if silent {
        format!(
            "its ports are on {nodes}, which was not heard of lately; the server goes when {nodes} is back and has removed them"
        )
    } else {
        format!("its ports are being removed from {nodes}")
    };
    terminating("PortsRemain", message, !silent)
}

fn crd_terminating(observed: &Observed) -> Words {
    let message = "the CRD virtualservers.suigen.dev is being deleted, which marks every server; none is stopped for that";
    let unknown = |type_| Finding::unknown(type_, "CrdTerminating", message);
    let phase = observed.status().phase.unwrap_or(ServerPhase::Unknown);
    let steps = ["Scheduled", "DisksReady", "InterfacesReady", "Running"].map(unknown);
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
