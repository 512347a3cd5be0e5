//! `NetworkPort.status`, as a function of what the node knows. Pure.

use suigen_crds::condition::shorten;
use suigen_crds::network_port::{Binding, NetworkPortStatus, PortState};

use super::runtime::Trouble;

/// The longest reason and message that the schema admits, in bytes.
const MAX_REASON: usize = 128;
const MAX_MESSAGE: usize = 1024;

/// What is to be said of a port that is bound here; none where it is said
/// already, or where there is nothing to say: a port that is as it should be
/// shows in the server that runs.
#[must_use]
pub fn said(
    binding: &Binding,
    stored: &NetworkPortStatus,
    trouble: Option<&Trouble>,
    removed: bool,
) -> Option<NetworkPortStatus> {
    let say = |state| NetworkPortStatus {
        node_name: Some(binding.node_name.clone()),
        epoch: Some(binding.epoch),
        state: Some(state),
        reason: None,
        message: None,
    };
    let wanted = match trouble {
        _ if removed => say(PortState::Removed),
        Some(trouble) => NetworkPortStatus {
            reason: Some(shorten(trouble.reason.clone(), MAX_REASON)),
            message: Some(shorten(trouble.message.clone(), MAX_MESSAGE)),
            ..say(PortState::Failed)
        },
        // Only what was said of this node is taken back.
        None if stored.state == Some(PortState::Failed)
            && stored.node_name.as_ref() == Some(&binding.node_name) =>
        {
            say(PortState::Ready)
        }
        None => return None,
    };
    (wanted != *stored).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use suigen_crds::ident::Epoch;

    fn binding(epoch: i64) -> Binding {
        Binding { node_name: "node-a".to_owned().try_into().unwrap(), epoch: Epoch(epoch) }
    }

    fn trouble() -> Trouble {
        Trouble::new("TakenBySomebodyElse", "create VXLAN device sx-5001: File exists")
    }

    #[test]
    fn decide_nothing_is_said_of_a_port_that_never_had_trouble() {
        assert_eq!(said(&binding(1), &NetworkPortStatus::default(), None, false), None);
    }

    #[test]
    fn decide_trouble_is_said_once_and_taken_back_once() {
        let fresh = NetworkPortStatus::default();
        let failed = said(&binding(1), &fresh, Some(&trouble()), false).unwrap();
        assert_eq!(failed.state, Some(PortState::Failed));
        assert_eq!(failed.reason.as_deref(), Some("TakenBySomebodyElse"));
        assert_eq!(said(&binding(1), &failed, Some(&trouble()), false), None);
        let ready = said(&binding(1), &failed, None, false).unwrap();
        assert_eq!((ready.state, &ready.reason), (Some(PortState::Ready), &None));
        assert_eq!(said(&binding(1), &ready, None, false), None);
    }

    #[test]
    fn decide_what_another_node_said_is_left_alone() {
        let theirs = NetworkPortStatus {
            node_name: Some("node-b".to_owned().try_into().unwrap()),
            epoch: Some(Epoch(1)),
            state: Some(PortState::Failed),
            ..NetworkPortStatus::default()
        };
        assert_eq!(said(&binding(2), &theirs, None, false), None);
        let ours = said(&binding(2), &theirs, None, true).unwrap();
        assert_eq!((ours.state, ours.epoch), (Some(PortState::Removed), Some(Epoch(2))));
        assert_eq!(said(&binding(2), &ours, None, true), None);
    }
}
