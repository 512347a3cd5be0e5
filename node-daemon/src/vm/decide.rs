//! The table: what is done next about a server. Pure, and complete.

use super::situation::{Guest, PowerOff, Reading, Situation, Standing, Volumes, Wish};

/// The next thing to do. Each may be tried again after it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read the object by name, and judge it.
    Read,
    /// Check that the server fits, and log `HELD`.
    Take,
    /// Log `REFUSED` and say so.
    Refuse,
    /// Say that the right was given up earlier.
    SayReleased,
    /// Make sure of the volumes.
    Prepare,
    /// Start QEMU, its guest not running yet.
    Launch,
    /// Let the guest run.
    Continue,
    /// Let a suspended guest run if its cause is gone.
    Resume,
    /// Press the guest's power button.
    AskPowerOff,
    /// Have QEMU quit.
    Quit,
    /// Have the kernel kill it.
    Kill,
    /// Remove what an ended process left: cgroup and sockets.
    CleanUp,
    /// Remove the server's files, log `RELEASED` and say so.
    Release,
    /// Remove the server's files and log `RELEASED`; the API has moved on.
    Yield,
    /// Remove the log; the task ends.
    Forget,
    /// Nothing until something happens.
    Wait,
}

impl From<Step> for &'static str {
    fn from(step: Step) -> Self {
        match step {
            Step::Read => "Read",
            Step::Take => "Take",
            Step::Refuse => "Refuse",
            Step::SayReleased => "SayReleased",
            Step::Prepare => "Prepare",
            Step::Launch => "Launch",
            Step::Continue => "Continue",
            Step::Resume => "Resume",
            Step::AskPowerOff => "AskPowerOff",
            Step::Quit => "Quit",
            Step::Kill => "Kill",
            Step::CleanUp => "CleanUp",
            Step::Release => "Release",
            Step::Yield => "Yield",
            Step::Forget => "Forget",
            Step::Wait => "Wait",
        }
    }
}

/// Decides the next step.
#[must_use]
pub fn next(now: &Situation) -> Step {
    if now.reading == Reading::Due {
        return Step::Read;
    }
    if now.guest == Guest::Absent && now.residue && now.standing != Standing::Frozen {
        return unless_held_back(now, Step::CleanUp);
    }
    match now.standing {
        Standing::Unread | Standing::Frozen | Standing::Idle | Standing::Orphan => Step::Wait,
        // Judged so only without a process; said here so that no mistake there
        // gives away what still runs.
        Standing::Forget | Standing::Refuse | Standing::GivenUp if now.guest.exists() => Step::Wait,
        Standing::Forget => word(now, Step::Forget),
        Standing::Refuse => word(now, Step::Refuse),
        Standing::GivenUp => word(now, Step::SayReleased),
        Standing::Take => word(now, Step::Take),
        Standing::Superseded if now.guest.exists() => kill(now),
        Standing::Superseded => word(now, Step::Yield),
        Standing::Held(wish) => held(now, wish),
    }
}

fn held(now: &Situation, wish: Wish) -> Step {
    // A power-off that began is finished whatever is wished meanwhile: the
    // guest is going down already.
    if now.guest.exists() && now.power_off != PowerOff::None {
        return power_off(now);
    }
    match (wish, now.guest) {
        (Wish::Keep, _) | (Wish::Rest, Guest::Absent) => Step::Wait,
        (Wish::Release, Guest::Absent) => word(now, Step::Release),
        (Wish::Rest | Wish::Release, _) => power_off(now),
        (Wish::Run, Guest::Absent) => start(now),
        (Wish::Run, Guest::Prelaunch) if now.reading == Reading::Fresh => {
            unless_held_back(now, Step::Continue)
        }
        (Wish::Run, Guest::Suspended) => unless_held_back(now, Step::Resume),
        (Wish::Run, Guest::Halted) => Step::Quit,
        (Wish::Run, Guest::Launching | Guest::Prelaunch | Guest::Running | Guest::Silent) => {
            Step::Wait
        }
    }
}

fn start(now: &Situation) -> Step {
    match (now.reading, now.volumes) {
        (Reading::Fresh, Volumes::Unchecked) => unless_held_back(now, Step::Prepare),
        (Reading::Fresh, Volumes::Usable) => unless_held_back(now, Step::Launch),
        (_, Volumes::Making) | (Reading::Due | Reading::UnderWay | Reading::Failing, _) => {
            Step::Wait
        }
    }
}

fn power_off(now: &Situation) -> Step {
    match (now.power_off, now.guest, now.overdue) {
        (PowerOff::None, Guest::Running | Guest::Silent, _) => Step::AskPowerOff,
        (PowerOff::None, _, _)
        | (PowerOff::Asked, _, true)
        | (PowerOff::Asked, Guest::Halted, _) => Step::Quit,
        (PowerOff::Quitting | PowerOff::Killing, _, true) => Step::Kill,
        (PowerOff::Asked | PowerOff::Quitting | PowerOff::Killing, _, false) => Step::Wait,
    }
}

fn kill(now: &Situation) -> Step {
    match (now.power_off, now.overdue) {
        (PowerOff::Killing, false) => Step::Wait,
        (PowerOff::Killing, true) | (PowerOff::None | PowerOff::Asked | PowerOff::Quitting, _) => {
            Step::Kill
        }
    }
}

/// A word about the right is given on the strength of a fresh read only.
fn word(now: &Situation, step: Step) -> Step {
    match now.reading {
        Reading::Fresh => unless_held_back(now, step),
        Reading::Due | Reading::UnderWay | Reading::Failing => Step::Wait,
    }
}

const fn unless_held_back(now: &Situation, step: Step) -> Step {
    if now.holding_back { Step::Wait } else { step }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
