//! What the data plane's word means for each port. Pure.

use std::collections::{BTreeMap, BTreeSet};

use suigen_crds::ident::Uid;
use suigen_crds::net_ident::Vni;

use super::age::Here;
use super::compose::is_of;
use super::facts::{Facts, Hosting, PortFact, Presence};
use super::handle::{Bound, Standing};
use crate::network::apply::Subject;
use crate::network::dataplane::{Error, Report};
use crate::network::desired::Refusal;
use crate::network::ident::LinkName;
use crate::report::runtime::{Trouble, explain};

/// What the data plane said last.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Whether it is about what is desired now.
    pub certain: bool,
    /// The links that are there.
    pub links: BTreeSet<LinkName>,
    /// What could not be done.
    pub faults: Vec<(Subject, Trouble)>,
}

/// What is said of a port: to its server, and in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// For the server's task.
    pub(super) standing: Standing,
    /// For the port's status. Less can keep a port from being as it should be
    /// than keeps its server from starting.
    pub trouble: Option<Trouble>,
}

impl View {
    /// What a report says; the links of an earlier one where nothing could be
    /// seen.
    #[must_use]
    pub fn of(outcome: &Result<Report, Error>, before: &BTreeSet<LinkName>, certain: bool) -> Self {
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                let trouble = Trouble::new(error.reason(), explain(error));
                let faults = vec![(Subject::Rules, trouble)];
                return Self { certain: false, links: before.clone(), faults };
            }
        };
        let foreign = report.foreign.iter().map(|foreign| {
            let trouble = Trouble::new(foreign.reason(), foreign.to_string());
            (Subject::Link(foreign.name.clone()), trouble)
        });
        let failures = report.failures.iter().map(|failure| {
            let trouble = Trouble::new(failure.error.reason(), explain(&failure.error));
            (failure.subject.clone(), trouble)
        });
        let faults = foreign.chain(failures).collect();
        Self { certain, links: report.indices.keys().cloned().collect(), faults }
    }

    /// Whether nothing of a port is left.
    #[must_use]
    pub fn lacks_port(&self, port: &Uid) -> bool {
        self.certain && !self.links.contains(&LinkName::tap(port))
    }

    /// Whether nothing of a network is left.
    #[must_use]
    pub fn lacks_network(&self, vni: Vni) -> bool {
        let names = [LinkName::bridge(vni), LinkName::vxlan(vni)];
        self.certain && names.iter().all(|name| !self.links.contains(name))
    }

    fn fault(&self, about: impl Fn(&Subject) -> bool) -> Option<Trouble> {
        self.faults.iter().find(|(subject, _)| about(subject)).map(|(_, trouble)| trouble.clone())
    }
}

/// Judges the ports of this node.
#[must_use]
pub fn judge(
    facts: &Facts,
    here: &Here,
    refusals: &[Refusal],
    view: &View,
) -> BTreeMap<Uid, Judged> {
    let mine = facts.ports.iter().filter(|(_, port)| here.has(port));
    mine.map(|(uid, port)| (uid.clone(), judge_port(facts, (uid, port), refusals, view))).collect()
}

fn judge_port(
    facts: &Facts,
    (uid, port): (&Uid, &PortFact),
    refusals: &[Refusal],
    view: &View,
) -> Judged {
    let failed = |trouble: Trouble| Judged {
        standing: Standing::Failed(trouble.clone()),
        trouble: Some(trouble),
    };
    let pending = Judged { standing: Standing::Pending, trouble: None };
    let network = &port.spec.network_uid;
    let Some(fact) = facts.networks.get(network).filter(|fact| fact.hosting != Hosting::No) else {
        return pending;
    };
    if !is_of(port, network, fact) {
        let message = format!(
            "the port is said to be on VNI {}, its network is on {}",
            port.spec.vni, fact.vni
        );
        return failed(Trouble::new("VniDiffers", message));
    }
    if let Some(refusal) = refusals.iter().find(|refusal| refuses(refusal, uid, network)) {
        return failed(Trouble::new(refusal.reason(), explain(refusal)));
    }
    let links = [LinkName::tap(uid), LinkName::bridge(fact.vni), LinkName::vxlan(fact.vni)];
    let unusable = view.fault(|subject| match subject {
        Subject::Rules => true,
        Subject::Link(name) => links.contains(name),
        Subject::Network(_) => false,
    });
    if let Some(trouble) = unusable {
        return failed(trouble);
    }
    let [tap, ..] = &links;
    if !view.links.contains(tap) {
        return pending;
    }
    if port.presence != Presence::Present {
        let trouble = Trouble::new("PortTerminating", "the NetworkPort is being deleted");
        return Judged { standing: Standing::Failed(trouble), trouble: None };
    }
    let trouble = view.fault(|subject| *subject == Subject::Network(fact.vni));
    Judged { standing: Standing::Ready, trouble }
}

/// Whether a refusal is about a port, or about all of its network.
fn refuses(refusal: &Refusal, uid: &Uid, of: &Uid) -> bool {
    match refusal {
        Refusal::VniTaken { network, .. }
        | Refusal::MtuTooLarge { network, .. }
        | Refusal::MtuTooSmall { network, .. } => network == of,
        Refusal::Mac { port, .. }
        | Refusal::MacTaken { port, .. }
        | Refusal::AddressTaken { port, .. }
        | Refusal::TapName { port, .. } => port == uid,
        Refusal::RemoteIsHere { .. } | Refusal::RemoteMac { .. } => false,
    }
}

/// What the tasks of servers are told.
pub(super) fn bound(
    facts: &Facts,
    judged: &BTreeMap<Uid, Judged>,
) -> BTreeMap<(Uid, String), Bound> {
    let of = |(uid, judged): (&Uid, &Judged)| {
        let spec = &facts.ports.get(uid)?.spec;
        let bound = Bound {
            port: uid.clone(),
            epoch: spec.binding.as_ref()?.epoch,
            mac: spec.mac_address,
            standing: judged.standing.clone(),
        };
        Some(((spec.server_uid.clone(), spec.interface_name.clone()), bound))
    };
    judged.iter().filter_map(of).collect()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
