//! All that decides about a server's next step, as small closed types. Pure.

use suigen_crds::virtual_server::{PowerState, RestartPolicy, VirtualServerSpec};

/// What the last quorum read, judged against the log, makes of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was read since the daemon started.
    Unread,
    /// The log cannot be believed; nothing may change.
    Frozen,
    /// Nothing is ours to do.
    Idle,
    /// The log can go.
    Forget,
    /// A guest runs that the API does not know like this.
    Orphan,
    /// The placement is to be declined.
    Refuse,
    /// The placement is to be taken.
    Take,
    /// The right ended by decision.
    Superseded,
    /// The right was given up; only the word is missing.
    GivenUp,
    /// The right is ours.
    Held(Wish),
}

/// What is to become of a server whose right is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is to run.
    Run,
    /// It is to be off, and its right kept.
    Rest,
    /// The wish is not understood: it stays as it is.
    Keep,
    /// It is to end, and its right to be released.
    Release,
}

/// How a server's last process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Ending {
    /// The guest powered itself off.
    GuestPoweredOff,
    /// QEMU ended though nobody asked for it.
    Failed,
    /// The daemon powered it off.
    PoweredOff,
}

/// What the spec asks for, given how the last process ended.
#[must_use]
pub fn wish(spec: &VirtualServerSpec, ending: bool, ended: Option<Ending>) -> Wish {
    if ending {
        return Wish::Release;
    }
    match (spec.power_state, spec.restart_policy, ended) {
        (PowerState::PoweredOff, _, _) => Wish::Rest,
        (PowerState::Unknown, _, _) => Wish::Keep,
        (PowerState::PoweredOn, _, None | Some(Ending::PoweredOff))
        | (PowerState::PoweredOn, RestartPolicy::Always, _)
        | (PowerState::PoweredOn, RestartPolicy::OnFailure, Some(Ending::Failed)) => Wish::Run,
        (PowerState::PoweredOn, RestartPolicy::OnFailure, Some(Ending::GuestPoweredOff))
        | (
            PowerState::PoweredOn,
            RestartPolicy::Never | RestartPolicy::Unknown,
            Some(Ending::GuestPoweredOff | Ending::Failed),
        ) => Wish::Rest,
    }
}

/// What the server's process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// There is none.
    Absent,
    /// It was started and did not answer yet.
    Launching,
    /// QEMU waits for its first `cont`.
    Prelaunch,
    /// The guest runs.
    Running,
    /// QEMU stopped the guest: an I/O error, an internal one.
    Suspended,
    /// The guest powered itself off; QEMU keeps it, by `-action shutdown=pause`.
    Halted,
    /// QEMU lives and does not answer.
    Silent,
}

impl Guest {
    /// Whether there is a process.
    #[must_use]
    pub const fn exists(self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// How fresh the last quorum read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Made after the last change that this daemon knows of.
    Fresh,
    /// Something changed: read again.
    Due,
    /// The answer is waited for; what is known may not be true any more.
    UnderWay,
    /// Something changed and reading failed; a timer runs.
    Failing,
}

/// How far the server's volumes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    /// Not looked at for this start.
    Unchecked,
    /// Being made or fetched.
    Making,
    /// All are there, and the API knows.
    Usable,
}

/// How far a power-off is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOff {
    /// None is under way.
    None,
    /// The guest was asked by ACPI.
    Asked,
    /// QEMU was asked to quit.
    Quitting,
    /// The kernel was told to kill it.
    Killing,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// The right.
    pub standing: Standing,
    /// How fresh that is.
    pub reading: Reading,
    /// The process.
    pub guest: Guest,
    /// The volumes.
    pub volumes: Volumes,
    /// The power-off.
    pub power_off: PowerOff,
    /// The power-off's present stage has had its time.
    pub overdue: bool,
    /// A process ended and its cgroup and sockets are still there.
    pub residue: bool,
    /// A step failed, or a start has to wait its back-off: its time has not come.
    pub holding_back: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use suigen_crds::virtual_server::{DeletionProtection, VirtualServerSpec};

    fn spec(power_state: PowerState, restart_policy: RestartPolicy) -> VirtualServerSpec {
        VirtualServerSpec {
            server_class_name: "b".into(),
            power_state,
            restart_policy,
            deletion_protection: DeletionProtection::Disabled,
            boot_disk_name: "root".into(),
            disks: vec![],
            network_interfaces: vec![],
            user_data_secret_name: None,
            ssh_authorized_keys: vec![],
        }
    }

    #[test]
    fn decide_what_a_guests_own_poweroff_means() {
        use Ending::{Failed, GuestPoweredOff, PoweredOff};
        use RestartPolicy::{Always, Never, OnFailure};
        let cases = [
            (Always, None, Wish::Run),
            (Always, Some(GuestPoweredOff), Wish::Run),
            (Always, Some(Failed), Wish::Run),
            (OnFailure, Some(GuestPoweredOff), Wish::Rest),
            (OnFailure, Some(Failed), Wish::Run),
            (Never, None, Wish::Run),
            (Never, Some(PoweredOff), Wish::Run),
            (Never, Some(GuestPoweredOff), Wish::Rest),
            (Never, Some(Failed), Wish::Rest),
            (RestartPolicy::Unknown, Some(Failed), Wish::Rest),
        ];
        for (policy, ended, expected) in cases {
            let on = spec(PowerState::PoweredOn, policy);
            assert_eq!(wish(&on, false, ended), expected, "{policy:?} {ended:?}");
            assert_eq!(wish(&on, true, ended), Wish::Release);
        }
        assert_eq!(wish(&spec(PowerState::Unknown, Always), false, None), Wish::Keep);
        assert_eq!(wish(&spec(PowerState::PoweredOff, Always), false, None), Wish::Rest);
    }
}
