//! The part of everything that a reconcile is about, so that a change costs
//! what it touches and not what is there. Pure.

use std::collections::BTreeSet;

use super::cache::{Cache, Dirty};
use super::desired::Desired;
use super::diff::{Op, Plan};
use super::ident::{LinkName, Vni};
use super::observe::{Observed, ObservedRules};
use super::rules::Elements;
use super::topology::{Fdb, Topology};

/// What a reconcile is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that is there or should be.
    Everything,
    /// Some networks, with all of their links, and some other links.
    Part { vnis: BTreeSet<Vni>, links: BTreeSet<LinkName> },
}

impl Scope {
    /// What may have to be changed: what is dirty, and what is desired
    /// otherwise than before.
    #[must_use]
    pub fn of(dirty: &Dirty, cache: &Cache, before: Option<&Desired>, now: &Desired) -> Self {
        let Some(before) = before.filter(|_| !dirty.everything && !dirty.lost) else {
            return Self::Everything;
        };
        let mut vnis = now.changed_since(before);
        vnis.extend(&dirty.vnis);
        for link in &dirty.links {
            let port = cache.links().get(link).and_then(|link| link.port.as_ref());
            let of_tap =
                [now, before].into_iter().filter_map(|desired| desired.network_of_tap(link));
            vnis.extend(link.vni());
            vnis.extend(port.and_then(|port| port.bridge.vni()));
            vnis.extend(of_tap);
        }
        let mut links = dirty.links.clone();
        for &vni in &vnis {
            links.extend([LinkName::bridge(vni), LinkName::vxlan(vni)]);
            let networks = [now, before].into_iter().filter_map(|desired| desired.network(vni));
            let ports = networks.flat_map(|network| &network.ports);
            links.extend(ports.map(|port| LinkName::tap(&port.uid)));
        }
        Self::Part { vnis, links }
    }

    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Part { links, .. } if links.is_empty())
    }

    /// What is there of it.
    #[must_use]
    pub fn observed(&self, cache: &Cache, rules: ObservedRules, elements: &Elements) -> Observed {
        let foreign = cache.foreign();
        let Self::Part { vnis, links } = self else {
            let topology = Topology {
                links: cache.links().clone(),
                fdb: cache.fdb().clone(),
                elements: elements.clone(),
            };
            return Observed { topology, foreign: foreign.keys().cloned().collect(), rules };
        };
        let mut fdb = Fdb::default();
        vnis.iter().for_each(|vni| fdb.extend(cache.fdb().of_network(*vni)));
        let present =
            links.iter().filter_map(|name| Some((name.clone(), cache.links().get(name)?.clone())));
        let taps: Vec<&LinkName> = links.iter().filter(|name| name.is_tap()).collect();
        let topology =
            Topology { links: present.collect(), fdb, elements: elements.of_taps(&taps) };
        let foreign = links.iter().filter(|name| foreign.contains_key(*name)).cloned();
        Observed { topology, foreign: foreign.collect(), rules }
    }

    /// What should be there of it.
    #[must_use]
    pub fn wanted(&self, desired: &Desired) -> Topology {
        match self {
            Self::Everything => Topology::of(desired),
            Self::Part { vnis, .. } => {
                let networks = vnis.iter().filter_map(|vni| desired.network(*vni));
                Topology::of_networks(desired, networks)
            }
        }
    }

    /// What is left of it where a plan for it is still to be carried out.
    #[must_use]
    pub fn left_by(&self, plan: &Plan) -> Dirty {
        let mut left = Dirty::default();
        for op in &plan.ops {
            match op {
                // They are of any port.
                Op::Rules { .. } => return self.whole(),
                Op::DeleteLink { name }
                | Op::CreateLink { name, .. }
                | Op::SetOwner { name, .. }
                | Op::Configure { name, .. } => {
                    left.links.insert(name.clone());
                }
                Op::RemoveBridgeEntry { vni, .. }
                | Op::SetBridgeEntry { vni, .. }
                | Op::RemoveTunnel { vni, .. }
                | Op::SetTunnel { vni, .. }
                | Op::RemoveFlood { vni, .. }
                | Op::AddFlood { vni, .. } => {
                    left.vnis.insert(*vni);
                }
            }
        }
        left.links.extend(plan.foreign.iter().map(|foreign| foreign.name.clone()));
        left
    }

    fn whole(&self) -> Dirty {
        match self {
            Self::Everything => Dirty { everything: true, ..Dirty::default() },
            Self::Part { vnis, links } => {
                Dirty { vnis: vnis.clone(), links: links.clone(), ..Dirty::default() }
            }
        }
    }
}
