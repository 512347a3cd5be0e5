//! What a claim comes to. Pure.

use std::time::Duration;

use serde_json::Value;
use suigen_crds::network_interface::PlacedInterface;

use super::observe::{Evidence, Observed, is_given};
use crate::sweep::{AGAIN, Owner};

/// What is to be done with a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing, until then.
    Keep {
        /// Why, in one word.
        reason: &'static str,
        /// When to look again.
        after: Duration,
    },
    /// Nobody can use the address: it is to be free.
    Sweep(&'static str),
}

/// Decides.
pub fn plan(observed: &Observed) -> Plan {
    let keep = |reason| Plan::Keep { reason, after: AGAIN };
    let (server, network, ports) = match &observed.evidence {
        Evidence::Enough => return keep("InUse"),
        Evidence::Young(left) => return Plan::Keep { reason: "Young", after: *left },
        Evidence::Read { server, network, ports } => (server, network, ports),
    };
    let claim = &*observed.claim;
    let spec = &claim.spec;
    let mut of_server = ports.iter().filter(|port| port.may_be_of(&spec.server_uid));
    let (why, used) = match (server, network) {
        (Owner::Gone, _) => ("ServerGone", of_server.next().is_some()),
        (Owner::There(_) | Owner::Doubtful, Owner::Gone) => {
            ("NetworkGone", of_server.any(|port| port.may_be_in(&spec.network_uid)))
        }
        (Owner::There(server), Owner::There(_) | Owner::Doubtful) => match given(server) {
            Some(given) if !is_given(claim, &given) => {
                let has_it =
                    of_server.any(|p| p.may_be_in(&spec.network_uid) && p.may_have(spec.address));
                ("NotGiven", has_it)
            }
            Some(_) | None => return keep("InUse"),
        },
        (Owner::Doubtful, Owner::There(_) | Owner::Doubtful) => return keep("CrdTerminating"),
    };
    if used { keep("PortsRemain") } else { Plan::Sweep(why) }
}

/// What a server was given, once and for all; none while it was not, or where
/// that cannot be read.
fn given(server: &Value) -> Option<Vec<PlacedInterface>> {
    let interfaces = server.pointer("/status/interfaces")?.as_array()?;
    let read = |interface: &Value| serde_json::from_value(interface.clone()).ok();
    interfaces.iter().map(read).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::fixtures::{NETWORK, SERVER, claim};
    use crate::network_port::census::Seen;

    const OTHER: &str = "00000000-0000-4000-8000-0000000000ff";

    fn port(server: &str, network: &str, address: &str) -> Seen {
        let spec = json!({"serverUid": server, "networkUid": network, "addresses": [address]});
        Seen::of("web.eth0".into(), &spec)
    }

    fn has(network: &str, address: &str) -> Owner {
        Owner::There(json!({"status": {"interfaces": [{
            "name": "eth0", "tenantNetworkName": "blue", "networkUid": network, "vni": 5000,
            "mtu": 1450, "macAddress": "02:00:00:00:00:01", "addresses": [address]}]}}))
    }

    fn decided(server: Owner, network: Owner, ports: Vec<Seen>) -> &'static str {
        let evidence = Evidence::Read { server, network, ports };
        match plan(&Observed { claim: Arc::new(claim(json!({}))), evidence }) {
            Plan::Keep { reason, .. } => reason,
            Plan::Sweep(why) => why,
        }
    }

    #[test]
    fn decide_a_claim_goes_only_when_nobody_can_use_it() {
        let there = || Owner::There(json!({}));
        let broken = || Owner::There(json!({"status": {"interfaces": [{"name": 7}]}}));
        let none = Vec::new;
        let own = || vec![port(SERVER, NETWORK, "10.20.0.5")];
        let elsewhere = || vec![port(SERVER, OTHER, "10.20.0.9")];
        let beside = || vec![port(SERVER, NETWORK, "10.20.0.9")];
        let others = || vec![port(OTHER, NETWORK, "10.20.0.5")];
        let unreadable = || vec![Seen::of("x".into(), &json!(7))];
        let unreadable_address =
            || vec![Seen::of("x".into(), &json!({"serverUid": SERVER, "addresses": "?"}))];
        let cases = [
            (Owner::Gone, there(), none(), "ServerGone"),
            (Owner::Gone, Owner::Gone, others(), "ServerGone"),
            (Owner::Gone, there(), own(), "PortsRemain"),
            (Owner::Gone, there(), elsewhere(), "PortsRemain"),
            (Owner::Gone, there(), unreadable(), "PortsRemain"),
            (there(), Owner::Gone, none(), "NetworkGone"),
            (there(), Owner::Gone, elsewhere(), "NetworkGone"),
            (there(), Owner::Gone, beside(), "PortsRemain"),
            (there(), Owner::Gone, unreadable(), "PortsRemain"),
            (there(), there(), none(), "InUse"),
            (broken(), there(), none(), "InUse"),
            (has(NETWORK, "10.20.0.5"), there(), none(), "InUse"),
            (has(NETWORK, "10.20.0.9"), there(), none(), "NotGiven"),
            (has(NETWORK, "10.20.0.9"), there(), beside(), "NotGiven"),
            (has(OTHER, "10.20.0.5"), there(), others(), "NotGiven"),
            (has(NETWORK, "10.20.0.9"), there(), own(), "PortsRemain"),
            (has(NETWORK, "10.20.0.9"), there(), unreadable_address(), "PortsRemain"),
            (Owner::Doubtful, there(), none(), "CrdTerminating"),
            (Owner::Doubtful, Owner::Doubtful, none(), "CrdTerminating"),
            (has(NETWORK, "10.20.0.5"), Owner::Doubtful, none(), "InUse"),
        ];
        for (number, (server, network, ports, wanted)) in cases.into_iter().enumerate() {
            assert_eq!(decided(server, network, ports), wanted, "case {number}");
        }
    }

    #[test]
    fn decide_no_evidence_frees_nothing() {
        for evidence in [Evidence::Enough, Evidence::Young(Duration::from_secs(3))] {
            let look = Observed { claim: Arc::new(claim(json!({}))), evidence };
            assert!(matches!(plan(&look), Plan::Keep { .. }));
        }
    }
}
