//! Takes in what is heard, and says what is asked of the API. Pure.

use std::collections::{BTreeMap, BTreeSet};

use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::net_ident::Vni;
use suigen_crds::network_port::{NetworkPort, NetworkPortStatus};
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::tenant_network::TenantNetwork;

use super::facts::{Facts, Hosting, PortFact, Presence};
use super::judge::{Judged, View};
use super::listing::{Change, Listing};
use super::{Asks, Input, Named};
use crate::api::watch::Seen;
use crate::report::port::said;

/// A segment that is being released and that this node once hosted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    name: String,
    vni: Vni,
    network: Uid,
    torn_down: bool,
}

/// What a namespace's watches have named.
#[derive(Debug, Default)]
struct Namespace {
    ports: Listing,
    networks: Listing,
}

/// All that was heard.
#[derive(Debug)]
pub struct Feed {
    node: NodeName,
    /// What is known.
    pub facts: Facts,
    mine: Listing,
    hypervisors: Listing,
    segment_list: Listing,
    namespaces: BTreeMap<String, Namespace>,
    segments: BTreeMap<Uid, Segment>,
    /// What the ports of this node say of themselves in the API.
    statuses: BTreeMap<Uid, NetworkPortStatus>,
}

impl Feed {
    /// Begins with what was kept.
    #[must_use]
    pub fn new(node: NodeName, facts: Facts) -> Self {
        Self {
            node,
            facts,
            mine: Listing::default(),
            hypervisors: Listing::default(),
            segment_list: Listing::default(),
            namespaces: BTreeMap::new(),
            segments: BTreeMap::new(),
            statuses: BTreeMap::new(),
        }
    }

    /// Takes something in.
    pub fn take(&mut self, input: Input) {
        match input {
            Input::Mine(seen) => self.take_mine(seen),
            Input::Port(namespace, seen) => self.take_port(&namespace, seen),
            Input::Network(namespace, seen) => self.take_network(namespace, seen),
            Input::Hypervisor(seen) => self.take_hypervisor(seen),
            Input::Segment(seen) => self.take_segment(seen),
            Input::Confirmed(uid, Some(port)) if super::facts::uid(&*port) == Some(uid.clone()) => {
                self.hear_port(&uid, &port);
            }
            Input::Confirmed(uid, _) => {
                self.facts.hear_no_port(&uid);
                self.statuses.remove(&uid);
            }
        }
    }

    fn take_mine(&mut self, seen: Seen<NetworkPort>) {
        if let Change::Object(uid, port) = self.mine.take(seen) {
            self.hear_port(&uid, &port);
        }
    }

    fn take_port(&mut self, namespace: &str, seen: Seen<NetworkPort>) {
        let listing = &mut self.namespaces.entry(namespace.to_owned()).or_default().ports;
        match listing.take(seen) {
            Change::Object(uid, port) => self.hear_port(&uid, &port),
            Change::Left(uid) => self.forget_remotes(|other, _| *other == uid),
            Change::Listed => {
                let listing = listing.clone();
                self.forget_remotes(|uid, port| port.namespace == namespace && !listing.names(uid));
            }
            Change::None => {}
        }
    }

    fn hear_port(&mut self, uid: &Uid, port: &NetworkPort) {
        self.facts.hear_port(port);
        self.statuses.insert(uid.clone(), port.status.clone().unwrap_or_default());
    }

    /// Ports elsewhere go when they are not listed any more; one of this node
    /// is asked for by name first.
    fn forget_remotes(&mut self, gone: impl Fn(&Uid, &PortFact) -> bool) {
        let node = &self.node;
        self.facts.ports.retain(|uid, port| port.is_bound_to(node) || !gone(uid, port));
    }

    fn take_network(&mut self, namespace: String, seen: Seen<TenantNetwork>) {
        let listing = &mut self.namespaces.entry(namespace).or_default().networks;
        match listing.take(seen) {
            Change::Object(_, network) => self.facts.hear_network(&network),
            // One that is missing is still what the ports here are in.
            Change::Left(uid) => self
                .facts
                .networks
                .retain(|other, network| network.hosting != Hosting::No || *other != uid),
            Change::Listed | Change::None => {}
        }
    }

    fn take_hypervisor(&mut self, seen: Seen<Hypervisor>) {
        // The tunnel end of one that is missing stays, for the ports there.
        if let Change::Object(_, hypervisor) = self.hypervisors.take(seen) {
            self.facts.hear_hypervisor(&hypervisor);
        }
    }

    fn take_segment(&mut self, seen: Seen<NetworkSegment>) {
        match self.segment_list.take(seen) {
            Change::Object(uid, segment) => {
                let status = segment.status.unwrap_or_default();
                if status.hosts.contains(&self.node) && status.released_at.is_some() {
                    let segment = Segment {
                        name: segment.metadata.name.unwrap_or_default(),
                        vni: segment.spec.vni,
                        network: segment.spec.network.uid,
                        torn_down: status.torn_down.iter().any(|by| by.node_name == self.node),
                    };
                    self.segments.insert(uid, segment);
                }
            }
            Change::Left(uid) => {
                self.segments.remove(&uid);
            }
            Change::Listed => {
                let listing = &self.segment_list;
                self.segments.retain(|uid, _| listing.names(uid));
            }
            Change::None => {}
        }
    }

    /// Forgets the watches that are not wanted any more: begun again, they
    /// list anew.
    pub fn keep_to(&mut self, namespaces: &BTreeSet<String>) {
        self.namespaces.retain(|namespace, _| namespaces.contains(namespace));
        let facts = &self.facts;
        self.statuses.retain(|uid, _| facts.ports.contains_key(uid));
    }

    /// Whether everything that matters to this node was listed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let listed = |namespace: &String| {
            self.namespaces
                .get(namespace)
                .is_some_and(|seen| seen.ports.is_complete() && seen.networks.is_complete())
        };
        self.mine.is_complete()
            && self.hypervisors.is_complete()
            && self.facts.namespaces(&self.node).iter().all(listed)
    }

    /// The networks whose VNI is being released: nothing before it is known
    /// which ports are here.
    #[must_use]
    pub fn releasing(&self) -> BTreeMap<Uid, Vni> {
        if !self.mine.is_complete() {
            return BTreeMap::new();
        }
        let networks = self.segments.values();
        networks.map(|segment| (segment.network.clone(), segment.vni)).collect()
    }

    /// What is asked of the API. Nothing is said of a port that is not among
    /// the judged ones.
    #[must_use]
    pub fn asks(&self, judged: &BTreeMap<Uid, Judged>, view: &View) -> Asks {
        let facts = &self.facts;
        let mine = || facts.ports.iter().filter(|(_, port)| port.is_bound_to(&self.node));
        let lost = |(uid, port): &(&Uid, &PortFact)| self.is_lost(uid, port);
        let report = |(uid, port): (&Uid, &PortFact)| {
            let stored = self.statuses.get(uid)?;
            let removed = port.presence == Presence::Removed;
            if removed && !view.lacks_port(uid) {
                return None;
            }
            let judged = judged.get(uid);
            if judged.is_none() && !removed {
                return None;
            }
            let trouble = judged.and_then(|judged| judged.trouble.as_ref());
            let status = said(port.spec.binding.as_ref()?, stored, trouble, removed)?;
            Some((uid.clone(), (port.named(), status)))
        };
        let segments = self.segments.iter().filter(|(_, segment)| {
            !segment.torn_down && self.has_left(segment) && view.lacks_network(segment.vni)
        });
        Asks {
            namespaces: facts.namespaces(&self.node),
            confirm: mine().filter(lost).map(|(uid, port)| (uid.clone(), port.named())).collect(),
            reports: mine().filter_map(report).collect::<BTreeMap<Uid, (Named, _)>>(),
            torn_down: segments.map(|(uid, segment)| (uid.clone(), segment.name.clone())).collect(),
        }
    }

    /// Whether something is waited for that only the kernel can tell.
    #[must_use]
    pub fn wants_certainty(&self) -> bool {
        let removed = |port: &PortFact| port.presence == Presence::Removed;
        self.facts.ports.values().any(removed)
            || self.segments.values().any(|segment| !segment.torn_down)
    }

    /// A port of this node that the watches do not name though they have
    /// listed everything.
    fn is_lost(&self, uid: &Uid, port: &PortFact) -> bool {
        let in_namespace =
            self.namespaces.get(&port.namespace).is_some_and(|seen| seen.ports.names(uid));
        self.mine.is_complete()
            && !self.mine.names(uid)
            && !in_namespace
            && port.presence != Presence::Gone
    }

    /// Whether this node needs nothing of a segment's network any more.
    fn has_left(&self, segment: &Segment) -> bool {
        let hosts = self
            .facts
            .networks
            .values()
            .any(|network| network.vni == segment.vni && network.hosting != Hosting::No);
        let bound = self.facts.ports.values().any(|port| {
            port.spec.vni == segment.vni
                && port.is_bound_to(&self.node)
                && port.presence != Presence::Removed
        });
        self.mine.is_complete() && !hosts && !bound
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
