//! Whether a hypervisor is ready. Pure.

use jiff::Timestamp;
use suigen_crds::condition::{Finding, Status, find, is_true};

use super::heartbeat::{Heartbeat, until};
use super::observe::Observed;
use crate::outcome::Outcome;

/// What is to be said, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The condition `Ready`.
    pub ready: Finding,
    /// What comes next.
    pub next: Outcome,
}

/// Decides.
pub fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let next = match observed.heartbeat {
        Heartbeat::Until(then) | Heartbeat::Doubtful { until: then, .. } => {
            Outcome::Wait { reason: "Heartbeat", after: until(then, now) }
        }
        Heartbeat::Never | Heartbeat::Lost(_) => Outcome::Done,
    };
    Plan { ready: ready(observed), next }
}

fn ready(observed: &Observed) -> Finding {
    let conditions =
        observed.hypervisor.status.as_ref().map_or(&[][..], |status| &status.conditions);
    // What was ready stays so while there is doubt; what was not is not for doubt.
    let heartbeat = match observed.heartbeat {
        Heartbeat::Doubtful { until, .. } if is_true(conditions, "Ready") => {
            Heartbeat::Until(until)
        }
        Heartbeat::Doubtful { last, .. } => Heartbeat::Lost(last),
        other => other,
    };
    match (heartbeat, find(conditions, "Qualified")) {
        (Heartbeat::Never, _) => Finding::unknown(
            "Ready",
            "NeverHeardOf",
            "its node-daemon has not been heard of: see that its pod runs on the node",
        ),
        (Heartbeat::Lost(at) | Heartbeat::Doubtful { last: at, .. }, _) => Finding::unknown(
            "Ready",
            "HeartbeatLost",
            format!(
                "its node-daemon was last heard of at {at:.0}; what runs there may still run, and nothing is started elsewhere: see to the node, or to the daemon's pod"
            ),
        ),
        (Heartbeat::Until(_), None) => Finding::unknown(
            "Ready",
            "NotQualifiedYet",
            "its node-daemon has not finished its checks",
        ),
        (Heartbeat::Until(_), Some(said)) if said.status == Status::True => {
            Finding::yes("Ready", "Qualified", "qualified, and its node-daemon is heard of")
        }
        (Heartbeat::Until(_), Some(said)) => Finding::no(
            "Ready",
            "NotQualified",
            format!("servers cannot run here: {}", said.message),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use suigen_crds::condition::conclude;
    use suigen_crds::hypervisor::{Hypervisor, HypervisorSpec, HypervisorStatus, Reserved};

    use super::*;

    fn observed(heartbeat: Heartbeat, qualified: Option<Status>) -> Observed {
        let reserved = Reserved { memory: "1Gi".parse().unwrap(), cpu_millis: 0 };
        let spec = HypervisorSpec {
            scheduling: Default::default(),
            software_emulation: Default::default(),
            reserved,
        };
        let mut hypervisor = Hypervisor::new("node-a", spec);
        let findings = qualified.map(|status| Finding {
            type_: "Qualified",
            status,
            reason: "Checked",
            message: "no KVM".into(),
        });
        let conditions =
            conclude(findings.into_iter().collect(), &[], Some(1), Timestamp::UNIX_EPOCH);
        hypervisor.status = Some(HypervisorStatus { conditions, ..HypervisorStatus::default() });
        Observed { hypervisor: Arc::new(hypervisor), heartbeat }
    }

    #[test]
    fn decide_doubt_changes_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let doubtful =
            Heartbeat::Doubtful { last: now, until: Timestamp::from_second(20).unwrap() };
        let mut look = observed(doubtful, Some(Status::True));
        assert_eq!(plan(&look, now).ready.reason, "HeartbeatLost", "not ready before");
        let hypervisor = Arc::get_mut(&mut look.hypervisor).unwrap();
        let ready = Finding::yes("Ready", "Qualified", "m");
        let conditions = &mut hypervisor.status.as_mut().unwrap().conditions;
        conditions.extend(conclude(vec![ready], &[], Some(1), now));
        assert_eq!(plan(&look, now).ready.reason, "Qualified", "ready before");
    }

    #[test]
    fn decide_ready_over_heartbeat_and_qualification() {
        let now = Timestamp::UNIX_EPOCH;
        let fresh = Heartbeat::Until(Timestamp::from_second(40).unwrap());
        let lost = Heartbeat::Lost(now);
        let cases = [
            (Heartbeat::Never, None, Status::Unknown, "NeverHeardOf"),
            (Heartbeat::Never, Some(Status::True), Status::Unknown, "NeverHeardOf"),
            (lost, Some(Status::True), Status::Unknown, "HeartbeatLost"),
            (lost, Some(Status::False), Status::Unknown, "HeartbeatLost"),
            (fresh, None, Status::Unknown, "NotQualifiedYet"),
            (fresh, Some(Status::False), Status::False, "NotQualified"),
            (fresh, Some(Status::Unknown), Status::False, "NotQualified"),
            (fresh, Some(Status::True), Status::True, "Qualified"),
        ];
        for (heartbeat, qualified, status, reason) in cases {
            let said = plan(&observed(heartbeat, qualified), now);
            assert_eq!((said.ready.status, said.ready.reason), (status, reason));
            let waits = matches!(said.next, Outcome::Wait { .. });
            assert_eq!(waits, heartbeat == fresh, "looks again only before an expiry");
        }
    }
}
