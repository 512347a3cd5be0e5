//! `VirtualServer.status.runtime`, as a function of what a task knows. Pure.

use suigen_crds::condition::shorten;
use suigen_crds::ident::{BootId, Epoch, NodeName};
use suigen_crds::virtual_server::{Runtime, RuntimeState};

use crate::vm::incarnation::{Ended, Incarnation};
use crate::vm::situation::{Ending, Guest, PowerOff, Situation, Standing, Volumes, Wish};

/// The longest message that the schema admits, in bytes.
const MAX_MESSAGE: usize = 2048;

/// What keeps a server from its next step, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One word for programs.
    pub reason: String,
    /// What is and what to do about it.
    pub message: String,
}

/// Reasons that say that the API could not be read.
const API: [&str; 3] = ["ApiServerUnreachable", "ApiServerRefused", "ObjectMalformed"];

impl Trouble {
    /// Whether the API could not be read.
    #[must_use]
    pub fn is_about_the_api(&self) -> bool {
        API.contains(&self.reason.as_str())
    }

    /// Trouble by name.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// An error with all its causes, for people.
#[must_use]
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// All that a report is made from.
#[derive(Debug)]
pub struct Account<'a> {
    /// This node.
    pub node: &'a NodeName,
    /// This boot of it.
    pub boot: &'a BootId,
    /// The epoch of the placement.
    pub epoch: Epoch,
    /// What decides.
    pub situation: &'a Situation,
    /// The last run.
    pub record: Option<&'a Incarnation>,
    /// What stands in the way.
    pub trouble: Option<&'a Trouble>,
    /// QEMU's word for a guest that does not run.
    pub detail: &'a str,
    /// The highest epoch that was given up.
    pub released: Option<Epoch>,
}

/// The report, where there is one to make: nothing is said of a right that is
/// not ours.
#[must_use]
pub fn report(account: &Account<'_>) -> Option<Runtime> {
    let (state, said) = match account.situation.standing {
        Standing::Held(wish) => held(account, wish),
        Standing::Take | Standing::Frozen => match account.situation.guest {
            Guest::Absent => (RuntimeState::Down, account.trouble.cloned()),
            _ => (alive(account), account.trouble.cloned()),
        },
        Standing::Unread
        | Standing::Idle
        | Standing::Forget
        | Standing::Orphan
        | Standing::Refuse
        | Standing::Superseded
        | Standing::GivenUp => return None,
    };
    let run = account.record.filter(|_| account.situation.guest.exists());
    Some(Runtime {
        node_name: account.node.clone(),
        epoch: account.epoch,
        state,
        reason: said.as_ref().map(|said| said.reason.clone()),
        message: said.map(|said| shorten(said.message, MAX_MESSAGE)),
        released_epoch: account.released,
        boot_id: Some(account.boot.clone()),
        incarnation: account.record.map(|record| record.incarnation),
        bundle: run.map(|record| record.bundle.clone()),
        first_boot_digest: run.and_then(|record| record.first_boot_digest.clone()),
        started_at: run.and_then(|record| record.started_at.clone()),
    })
}

/// The report that a placement was declined, or a right released.
#[must_use]
pub fn given_up(
    node: &NodeName,
    boot: &BootId,
    epoch: Epoch,
    released: Epoch,
    refused: Option<Trouble>,
) -> Runtime {
    Runtime {
        node_name: node.clone(),
        epoch,
        state: if refused.is_some() { RuntimeState::Refused } else { RuntimeState::Released },
        reason: refused.as_ref().map(|refused| refused.reason.clone()),
        message: refused.map(|refused| shorten(refused.message, MAX_MESSAGE)),
        released_epoch: Some(released),
        boot_id: Some(boot.clone()),
        incarnation: None,
        bundle: None,
        first_boot_digest: None,
        started_at: None,
    }
}

fn held(account: &Account<'_>, wish: Wish) -> (RuntimeState, Option<Trouble>) {
    if account.situation.guest.exists() {
        return (alive(account), suspended(account).or_else(|| account.trouble.cloned()));
    }
    let ended = account.record.and_then(|record| record.ended.as_ref());
    match wish {
        Wish::Run => starting(account, ended),
        Wish::Rest => at_rest(ended),
        Wish::Keep => (
            RuntimeState::Stopped,
            Some(Trouble::new(
                "PowerStateUnknown",
                "spec.powerState has a value that this version does not know; the server stays as it is",
            )),
        ),
        Wish::Release => (RuntimeState::Stopping, account.trouble.cloned()),
    }
}

fn starting(account: &Account<'_>, ended: Option<&Ended>) -> (RuntimeState, Option<Trouble>) {
    // A server that ran is down until it runs again, whatever is done meanwhile.
    if let Some(failed) = ended.filter(|ended| ended.how == Ending::Failed) {
        let exited = || Trouble::new(&failed.reason, &failed.message);
        return (RuntimeState::Down, Some(account.trouble.cloned().unwrap_or_else(exited)));
    }
    match account.situation.volumes {
        Volumes::Unchecked | Volumes::Making => (RuntimeState::Preparing, account.trouble.cloned()),
        Volumes::Usable if account.trouble.is_none() => (RuntimeState::Preparing, None),
        Volumes::Usable => (RuntimeState::Down, account.trouble.cloned()),
    }
}

fn at_rest(ended: Option<&Ended>) -> (RuntimeState, Option<Trouble>) {
    let Some(ended) = ended else { return (RuntimeState::Stopped, None) };
    let said = || Some(Trouble::new(&ended.reason, &ended.message));
    match ended.how {
        Ending::GuestPoweredOff => (RuntimeState::Stopped, said()),
        Ending::Failed => (RuntimeState::Down, said()),
        Ending::PoweredOff => (RuntimeState::Stopped, None),
    }
}

const fn alive(account: &Account<'_>) -> RuntimeState {
    match (account.situation.guest, account.situation.power_off) {
        (Guest::Silent, _) => RuntimeState::QmpUnresponsive,
        (_, PowerOff::Asked | PowerOff::Quitting | PowerOff::Killing) | (Guest::Halted, _) => {
            RuntimeState::Stopping
        }
        (Guest::Absent | Guest::Launching | Guest::Prelaunch, PowerOff::None) => {
            RuntimeState::Starting
        }
        (Guest::Running, PowerOff::None) => RuntimeState::Running,
        (Guest::Suspended, PowerOff::None) => RuntimeState::Paused,
    }
}

fn suspended(account: &Account<'_>) -> Option<Trouble> {
    match account.situation.guest {
        Guest::Suspended => Some(match account.detail {
            "io-error" => Trouble::new(
                "IoError",
                "writing or reading a disk failed, the node's storage may be full; the guest is paused and goes on by itself when that is over",
            ),
            "internal-error" => {
                Trouble::new("InternalError", "QEMU met an internal error and paused the guest")
            }
            other => Trouble::new("Suspended", format!("QEMU says: {other}")),
        }),
        Guest::Silent => Some(Trouble::new(
            "QmpUnresponsive",
            "QEMU runs and does not answer; it is left alone. Look at the node's storage first",
        )),
        Guest::Absent | Guest::Launching | Guest::Prelaunch | Guest::Running | Guest::Halted => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::situation::Reading;

    fn at(standing: Standing, guest: Guest) -> Situation {
        Situation {
            standing,
            reading: Reading::Fresh,
            guest,
            volumes: Volumes::Unchecked,
            power_off: PowerOff::None,
            overdue: false,
            residue: false,
            holding_back: false,
        }
    }

    fn said(
        situation: &Situation,
        ended: Option<Ending>,
        trouble: Option<&Trouble>,
    ) -> Option<(RuntimeState, Option<String>)> {
        let record = Incarnation {
            namespace: "acme".into(),
            name: "web-1".into(),
            epoch: Epoch(1),
            incarnation: 1,
            boot_id: boot(),
            bundle: "b".into(),
            disks: vec![],
            memory_bytes: 1,
            first_boot_digest: None,
            started_at: None,
            powering_off: false,
            failures: 0,
            ended: ended.map(|how| match how {
                Ending::GuestPoweredOff => Ended::new(how, "GuestPoweredOff", "m"),
                Ending::Failed | Ending::PoweredOff => Ended::new(how, "QemuExited", "m"),
            }),
        };
        let node = "node-a".to_owned().try_into().unwrap();
        report(&Account {
            node: &node,
            boot: &boot(),
            epoch: Epoch(1),
            situation,
            record: Some(&record),
            trouble,
            detail: "io-error",
            released: None,
        })
        .map(|runtime| (runtime.state, runtime.reason))
    }

    fn boot() -> BootId {
        "0a000000-0000-4000-8000-00000000000b".to_owned().try_into().unwrap()
    }

    #[test]
    fn decide_what_people_read() {
        use RuntimeState as S;
        let run = Standing::Held(Wish::Run);
        let rest = Standing::Held(Wish::Rest);
        let away = Trouble::new("ApiServerUnreachable", "m");
        let some = |reason: &str| Some(reason.to_owned());
        let cases = [
            (at(run, Guest::Absent), None, None, S::Preparing, None),
            (at(run, Guest::Absent), Some(Ending::Failed), None, S::Down, some("QemuExited")),
            (
                at(run, Guest::Absent),
                Some(Ending::Failed),
                Some(&away),
                S::Down,
                some("ApiServerUnreachable"),
            ),
            (at(run, Guest::Running), None, None, S::Running, None),
            (at(run, Guest::Suspended), None, None, S::Paused, some("IoError")),
            (at(run, Guest::Silent), None, None, S::QmpUnresponsive, some("QmpUnresponsive")),
            (at(rest, Guest::Absent), Some(Ending::PoweredOff), None, S::Stopped, None),
            (
                at(rest, Guest::Absent),
                Some(Ending::GuestPoweredOff),
                None,
                S::Stopped,
                some("GuestPoweredOff"),
            ),
            (at(rest, Guest::Absent), Some(Ending::Failed), None, S::Down, some("QemuExited")),
            (
                Situation { power_off: PowerOff::Asked, ..at(rest, Guest::Running) },
                None,
                None,
                S::Stopping,
                None,
            ),
            (
                at(Standing::Frozen, Guest::Running),
                None,
                Some(&away),
                S::Running,
                some("ApiServerUnreachable"),
            ),
        ];
        for (situation, ended, trouble, state, reason) in cases {
            assert_eq!(said(&situation, ended, trouble), Some((state, reason)), "{situation:?}");
        }
    }

    #[test]
    fn decide_to_say_nothing_of_a_right_that_is_not_ours() {
        for standing in [Standing::Unread, Standing::Idle, Standing::Orphan, Standing::Superseded] {
            assert_eq!(said(&at(standing, Guest::Running), None, None), None);
        }
    }
}
