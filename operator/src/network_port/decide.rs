//! What a port comes to. Pure.

use std::time::Duration;

use suigen_crds::ident::NodeName;
use suigen_crds::network_port::{NetworkPort, PortState};

use super::observe::{Evidence, Observed};
use crate::finalizer::Deletion;
use crate::sweep::{AGAIN, Owner};

/// What is to be done with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing, until then; with no time, until something changes.
    Keep {
        /// Why, in one word.
        reason: &'static str,
        /// When to look again.
        after: Option<Duration>,
    },
    /// Its segment is to list the node that has it.
    List(NodeName),
    /// Nobody needs it: it is to be deleted.
    Sweep(&'static str),
    /// Nothing of it is left anywhere: the finalizer is to be lifted.
    Lift,
}

/// Decides.
pub fn plan(observed: &Observed) -> Plan {
    let port = &*observed.port;
    match observed.deletion {
        Deletion::CrdTerminating => {
            return Plan::Keep { reason: "CrdTerminating", after: Some(AGAIN) };
        }
        Deletion::Wanted if is_removed(port) => return Plan::Lift,
        Deletion::Wanted | Deletion::No => {}
    }
    if let (Some(_), Some(binding)) = (&observed.unlisted, &port.spec.binding) {
        return Plan::List(binding.node_name.clone());
    }
    if observed.deletion == Deletion::Wanted {
        return Plan::Keep { reason: "WaitsForNode", after: None };
    }
    match &observed.evidence {
        Evidence::Enough | Evidence::Read(Owner::There(_)) => {
            Plan::Keep { reason: "InUse", after: Some(AGAIN) }
        }
        Evidence::Read(Owner::Doubtful) => {
            Plan::Keep { reason: "CrdTerminating", after: Some(AGAIN) }
        }
        Evidence::Young(left) => Plan::Keep { reason: "Young", after: Some(*left) },
        Evidence::Read(Owner::Gone) => Plan::Sweep("ServerGone"),
    }
}

/// Whether the node that has the port says, of this very binding, that nothing
/// of it is left; or none ever had it.
fn is_removed(port: &NetworkPort) -> bool {
    let Some(binding) = &port.spec.binding else { return true };
    port.status.as_ref().is_some_and(|status| {
        status.state == Some(PortState::Removed)
            && status.node_name.as_ref() == Some(&binding.node_name)
            && status.epoch == Some(binding.epoch)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{all, deleted, port, segment};

    fn observed(with: Value, deletion: Deletion, evidence: Evidence) -> Observed {
        Observed { port: Arc::new(port(with)), deletion, evidence, unlisted: None }
    }

    fn said(node: &str, epoch: i64, state: &str) -> Value {
        json!({"status": {"nodeName": node, "epoch": epoch, "state": state}})
    }

    #[test]
    fn decide_only_the_bound_nodes_word_lifts_the_finalizer() {
        let waits = Plan::Keep { reason: "WaitsForNode", after: None };
        let bound = || json!({"spec": {"binding": {"nodeName": "node-a", "epoch": 3}}});
        let cases = [
            (json!({}), Plan::Lift, "never bound"),
            (bound(), waits.clone(), "nothing said"),
            (all([bound(), said("node-a", 3, "Removed")]), Plan::Lift, "removed"),
            (all([bound(), said("node-a", 2, "Removed")]), waits.clone(), "of an old binding"),
            (all([bound(), said("node-b", 3, "Removed")]), waits.clone(), "by another node"),
            (all([bound(), said("node-a", 3, "Failed")]), waits.clone(), "trouble"),
            (all([bound(), said("node-a", 3, "Newer")]), waits.clone(), "a word of later"),
        ];
        for (with, plan_wanted, what) in cases {
            let with = all([with, deleted()]);
            let look = observed(with.clone(), Deletion::Wanted, Evidence::Enough);
            assert_eq!(plan(&look), plan_wanted, "{what}");
            let crd = observed(with.clone(), Deletion::CrdTerminating, Evidence::Enough);
            assert!(matches!(plan(&crd), Plan::Keep { .. }), "{what}, and the CRD goes");
        }
    }

    #[test]
    fn decide_only_the_api_servers_word_sweeps() {
        let gone = Evidence::Read(Owner::Gone);
        let keep = [
            Evidence::Enough,
            Evidence::Young(Duration::from_secs(9)),
            Evidence::Read(Owner::Doubtful),
            Evidence::Read(Owner::There(json!({"spec": 7}))),
        ];
        assert_eq!(plan(&observed(json!({}), Deletion::No, gone)), Plan::Sweep("ServerGone"));
        for evidence in keep {
            let said = plan(&observed(json!({}), Deletion::No, evidence.clone()));
            assert!(matches!(said, Plan::Keep { after: Some(_), .. }), "{evidence:?}");
        }
    }

    #[test]
    fn decide_the_segment_lists_whoever_has_a_port() {
        let bound = json!({"spec": {"binding": {"nodeName": "node-a", "epoch": 3}}});
        for deletion in [Deletion::No, Deletion::Wanted] {
            let mut look = observed(bound.clone(), deletion, Evidence::Enough);
            look.unlisted = Some(Arc::new(segment(json!({}))));
            assert!(matches!(plan(&look), Plan::List(node) if node.as_str() == "node-a"));
        }
    }
}
