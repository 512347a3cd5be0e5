//! A node: power, daemon, log, guest.
//!
//! What the daemon does next is the code's own answer: `judge` on what it read
//! and logged, then `next`, the table of steps. A daemon may be slow to take any
//! step, for ever if need be: so a frozen node and one that is cut off are in
//! here, and so is one that is thawed much later.

use suigen_crds::ident::Epoch;
use suigen_node_daemon::right::decide::{Running, View, judge};
use suigen_node_daemon::right::{Verdict, Word as Logged};
use suigen_node_daemon::vm::decide::{Step, next};
use suigen_node_daemon::vm::situation::{
    Guest, PowerOff, Reading, Situation, Standing, Volumes, wish,
};

use crate::guards::{Guard, Guards};
use crate::real::{append, history, small, spec, view};
use crate::state::{Daemon, Host, Inventory, Known, Node, Object, Said, State, Word};

/// What may happen at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// The daemon takes its next step.
    Step,
    /// It finds that the placement does not fit.
    Decline,
    /// It reads again, since a watch told it to, or for no reason.
    Read,
    /// It writes its Hypervisor.
    Report,
    /// Its report arrives.
    Arrive,
    /// The guest's process ends by itself.
    Exit,
    /// The daemon starts.
    DaemonStart,
    /// The daemon is killed.
    DaemonCrash,
    /// Its state directory is wiped while no daemon runs.
    LoseLog,
    /// The node is switched off.
    PowerOff,
    /// The node is switched on.
    PowerOn,
}

/// Every act; those that cannot happen now change nothing.
pub const ACTS: [Act; 11] = [
    Act::Step,
    Act::Decline,
    Act::Read,
    Act::Report,
    Act::Arrive,
    Act::Exit,
    Act::DaemonStart,
    Act::DaemonCrash,
    Act::LoseLog,
    Act::PowerOff,
    Act::PowerOn,
];

/// Lets it happen; false when it cannot.
pub fn act(guards: Guards, state: &mut State, index: usize, act: Act) -> bool {
    let node = &mut state.nodes[index];
    match act {
        Act::Step => return step(guards, state, index),
        Act::Decline => return decline(guards, node, index),
        Act::Read => return read(state, index),
        Act::Report => return report(guards, state, index),
        Act::Arrive => return arrive(state, index),
        Act::Exit if node.guest != 0 => ended(guards, node),
        Act::DaemonStart if node.on && node.daemon.is_none() => {
            node.daemon = Some(Daemon::default());
        }
        Act::DaemonCrash if node.daemon.is_some() => node.daemon = None,
        Act::LoseLog if state.left.log_losses > 0 && node.log.id != 0 && node.daemon.is_none() => {
            state.left.log_losses -= 1;
            node.log = crate::state::Log { id: node.log.id + 1, ..Default::default() };
            node.recorded = false;
        }
        Act::PowerOff if state.left.power_offs > 0 && node.on => {
            state.left.power_offs -= 1;
            (node.on, node.daemon, node.guest, node.recorded) = (false, None, 0, false);
        }
        Act::PowerOn if !node.on => (node.on, node.boot) = (true, node.boot + 1),
        Act::Exit
        | Act::DaemonStart
        | Act::DaemonCrash
        | Act::LoseLog
        | Act::PowerOff
        | Act::PowerOn => return false,
    }
    true
}

fn ended(guards: Guards, node: &mut Node) {
    (node.guest, node.recorded) = (0, false);
    if guards.has(Guard::ReadAfterExit)
        && let Some(daemon) = &mut node.daemon
    {
        daemon.known = None;
    }
}

fn read(state: &mut State, index: usize) -> bool {
    let now = Some(Known { object: state.api.object, settling: state.api.settling });
    let Some(daemon) = &mut state.nodes[index].daemon else { return false };
    let news = daemon.known != now;
    daemon.known = now;
    news
}

fn report(guards: Guards, state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    let Some(daemon) = &mut node.daemon else { return false };
    let holds = match node.guest {
        0 => Inventory::Holds(node.log.held),
        _ if !node.recorded && node.log.held == 0 => Inventory::Unknown,
        guest => Inventory::Holds(guest.max(node.log.held)),
    };
    let placed = state.api.object.and_then(|object| object.placed).map_or(0, |placed| placed.epoch);
    let behind = matches!(holds, Inventory::Holds(epoch) if epoch > placed);
    state.api.settling |= behind;
    let host = &mut state.api.hosts[index];
    let before = *host;
    let inventory = state.api.settling.then_some(holds);
    *host = Host { boot: node.boot, log: node.log.id, inventory, ..before };
    if inventory.is_some() {
        state.seen.awaited &= !(1 << index);
        if before.inventory.is_none() && guards.has(Guard::ReadsDropped) {
            daemon.known = None;
        }
    }
    *host != before
}

fn arrive(state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    let Some(said) = node.in_flight.take() else { return false };
    // Whether it was taken or not, the daemon looks again.
    if let Some(daemon) = &mut node.daemon {
        daemon.known = None;
    }
    state.api.report(said);
    true
}

/// What the code makes of a node's situation.
fn verdict(guards: Guards, node: &Node, index: usize) -> Option<Verdict> {
    let known = node.daemon?.known?;
    let mut view = view(index as u8, node.log.id, known.object);
    if let View::Placed(claim) = &mut view {
        claim.our_log |= !guards.has(Guard::LogId);
        claim.said_released |= guards.has(Guard::FenceHonoured) && fenced(known.object);
    }
    let adopted = node.guest != 0 && guards.has(Guard::AdoptFirst);
    let epoch = node.recorded.then_some(Epoch(node.guest.into()));
    Some(judge(view, &history(&node.log), adopted.then_some(Running { epoch })))
}

fn fenced(object: Option<Object>) -> bool {
    object.is_some_and(|object| object.placed.is_some_and(|placed| object.fence >= placed.epoch))
}

fn standing(node: &Node, verdict: Option<Verdict>) -> Standing {
    let declined = node.daemon.map_or(0, |daemon| daemon.declined);
    match verdict {
        None => Standing::Unread,
        Some(Verdict::Hold { ending, .. }) => Standing::Held(wish(&spec(), ending, None)),
        Some(Verdict::Take { epoch }) if small(epoch) == declined => Standing::Refuse,
        Some(Verdict::Take { .. }) => Standing::Take,
        Some(Verdict::Refuse { .. }) => Standing::Refuse,
        Some(Verdict::SayReleased { .. }) => Standing::GivenUp,
        Some(Verdict::Superseded { .. }) => Standing::Superseded,
        Some(Verdict::Orphan(_)) => Standing::Orphan,
        Some(Verdict::Idle) => Standing::Idle,
        Some(Verdict::Forget) => Standing::Forget,
    }
}

fn situation(node: &Node, verdict: Option<Verdict>) -> Situation {
    let known = node.daemon.is_some_and(|daemon| daemon.known.is_some());
    Situation {
        standing: standing(node, verdict),
        reading: if known { Reading::Fresh } else { Reading::Due },
        guest: if node.guest != 0 { Guest::Running } else { Guest::Absent },
        volumes: Volumes::Usable,
        power_off: PowerOff::None,
        overdue: false,
        residue: false,
        holding_back: false,
    }
}

/// A claim that was looked at may turn out not to fit.
fn decline(guards: Guards, node: &mut Node, index: usize) -> bool {
    let verdict = verdict(guards, node, index);
    let (Some(daemon), Some(Verdict::Take { epoch })) = (&mut node.daemon, verdict) else {
        return false;
    };
    let news = node.guest == 0 && daemon.declined != small(epoch);
    daemon.declined = small(epoch);
    news
}

fn step(guards: Guards, state: &mut State, index: usize) -> bool {
    let node = &mut state.nodes[index];
    let Some(daemon) = node.daemon else { return false };
    if node.in_flight.is_some() {
        return false;
    }
    if daemon.known.is_none() && !guards.has(Guard::ReadAfterStart) && node.log.held != 0 {
        return launch(node, node.log.held);
    }
    let verdict = verdict(guards, node, index);
    let halted = guards.has(Guard::StartingHalts) && daemon.known.is_some_and(|k| k.settling);
    match next(&situation(node, verdict)) {
        Step::Read => read(state, index),
        Step::Take | Step::Launch if halted => false,
        Step::Take => {
            let Some(Verdict::Take { epoch }) = verdict else { return false };
            log_held(node, epoch)
        }
        Step::Launch => start(guards, node, index, verdict),
        Step::Refuse => refuse(guards, node, index, verdict),
        Step::SayReleased => {
            let Some(Verdict::SayReleased { epoch, released }) = verdict else { return false };
            say(node, index, epoch, Word::Released, small(released))
        }
        Step::Release | Step::Yield => release(guards, node, index, verdict),
        Step::AskPowerOff | Step::Quit | Step::Kill => {
            ended(guards, node);
            true
        }
        Step::Forget => {
            let news = node.log.highest != 0;
            node.log = crate::state::Log { id: node.log.id, ..Default::default() };
            news
        }
        Step::Wait | Step::Prepare | Step::Continue | Step::Resume | Step::CleanUp => false,
    }
}

fn log_held(node: &mut Node, epoch: Epoch) -> bool {
    let none = String::new;
    append(
        &mut node.log,
        &Logged::Held { epoch, namespace: none(), name: none(), memory_bytes: 0 },
    );
    true
}

fn start(guards: Guards, node: &mut Node, index: usize, verdict: Option<Verdict>) -> bool {
    let Some(Verdict::Hold { epoch, .. }) = verdict else { return false };
    let known = node.daemon.and_then(|daemon| daemon.known?.object?.said);
    let claimed = known.is_some_and(|said| {
        (said.node as usize, said.epoch, said.boot) == (index, small(epoch), node.boot)
    });
    if guards.has(Guard::BootClaimed) && !claimed {
        let given_up = node.log.given_up;
        return say(node, index, epoch, Word::Starting, given_up);
    }
    launch(node, small(epoch))
}

fn launch(node: &mut Node, epoch: u8) -> bool {
    let starts = node.guest == 0;
    (node.guest, node.recorded) = (epoch, true);
    starts
}

fn say(node: &mut Node, index: usize, epoch: Epoch, word: Word, released: u8) -> bool {
    if word != Word::Starting {
        node.gave_up = node.gave_up.max(small(epoch));
    }
    let (node_index, epoch, boot) = (index as u8, small(epoch), node.boot);
    node.in_flight = Some(Said { node: node_index, epoch, word, released, boot });
    true
}

fn refuse(guards: Guards, node: &mut Node, index: usize, verdict: Option<Verdict>) -> bool {
    let Some(Verdict::Refuse { epoch, .. } | Verdict::Take { epoch }) = verdict else {
        return false;
    };
    let first = node.log.refused != small(epoch);
    if first && guards.has(Guard::LogFirst) {
        if node.log.held != 0 {
            let held = Epoch(node.log.held.into());
            append(&mut node.log, &Logged::Released { epoch: held });
        }
        let (reason, message) = (String::new(), String::new());
        append(&mut node.log, &Logged::Refused { epoch, reason, message });
        node.gave_up = node.gave_up.max(node.log.given_up);
        return true;
    }
    let released = node.log.highest.max(small(epoch));
    say(node, index, epoch, Word::Refused, released)
}

fn release(guards: Guards, node: &mut Node, index: usize, verdict: Option<Verdict>) -> bool {
    let (epoch, ending) = match verdict {
        Some(Verdict::Hold { epoch, .. }) => (epoch, true),
        Some(Verdict::Superseded { held }) => (held, false),
        _ => return false,
    };
    if ending && !guards.has(Guard::LogFirst) {
        return say(node, index, epoch, Word::Released, small(epoch));
    }
    append(&mut node.log, &Logged::Released { epoch });
    node.gave_up = node.gave_up.max(small(epoch));
    true
}
