//! What is said of a segment that is being released. Pure. It changes only in
//! kind: times are told as such, never counted down.

use jiff::Timestamp;
use suigen_crds::condition::shorten;

use super::observe::{Host, HostState};
use crate::sweep::listed;

/// The longest message that the schema admits.
const MOST: usize = 1024;

/// What a release waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// For people.
    pub message: String,
    /// One word.
    pub reason: &'static str,
    /// Whether that is more than every release waits for.
    pub held_up: bool,
}

/// Says what a release waits for: whoever cannot be expected to confirm soon
/// comes first.
pub fn wait(end: Timestamp, missing: &[Host], servers: &[String], over: bool) -> Wait {
    let of = |state: HostState| -> Vec<String> {
        missing.iter().filter(|host| host.state == state).map(|host| host.name.clone()).collect()
    };
    let (silent, none, heard) = (of(HostState::Silent), of(HostState::None), of(HostState::Heard));
    let (reason, message) = if !none.is_empty() {
        let said = format!(
            "waits for {}, of which there is no Hypervisor any more: the VNI stays taken until its node-daemon is back and confirms that nothing of the network is left",
            listed(&none)
        );
        ("HypervisorGone", said)
    } else if !silent.is_empty() {
        let said = format!("waits for {}, whose daemon was not heard of lately", listed(&silent));
        ("HypervisorSilent", said)
    } else if over && !heard.is_empty() {
        let said = format!(
            "waits for {} to confirm that nothing of the network is left there",
            listed(&heard)
        );
        ("NotConfirmed", said)
    } else if !servers.is_empty() {
        ("PortsRemain", format!("waits for the NetworkPorts of {}", listed(servers)))
    } else {
        let said = format!(
            "free at {end:.0} at the earliest, once every hypervisor in hosts has confirmed that nothing of the network is left there"
        );
        ("Quarantine", said)
    };
    Wait { message: shorten(message, MOST), reason, held_up: over }
}
