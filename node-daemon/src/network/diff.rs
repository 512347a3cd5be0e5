//! From what the kernel holds to what it should hold: a complete list of
//! operations in the order in which they are safe. Pure.
//!
//! The rules come first: elements are there before the tap that they let
//! pass, and gone before anything else of a port is. Then what is new, from the
//! far end to the near one, and at last what is to go. Re-pointing an address,
//! between end points as between a tap and the tunnel, is one operation, so
//! that there is no moment without an entry.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::ident::{LinkName, MacAddress, Vni};
use super::observe::{Observed, ObservedRules};
use super::rules;
use super::topology::{BridgeEntry, Fdb, Link, LinkKind, Origin, Topology};

/// One change of the kernel's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Runs a batch of nft.
    Rules { batch: String },
    /// Removes a link of ours.
    DeleteLink { name: LinkName },
    /// Makes a link, switched off and in no bridge.
    CreateLink { name: LinkName, link: Link },
    /// Gives a tap to another user.
    SetOwner { name: LinkName, owner: u32 },
    /// Sets everything of a link that can be set.
    Configure { name: LinkName, link: Link },
    /// Removes an entry of a bridge.
    RemoveBridgeEntry { vni: Vni, mac: MacAddress, link: LinkName },
    /// Sets the port behind which an address is.
    SetBridgeEntry { vni: Vni, mac: MacAddress, entry: BridgeEntry },
    /// Removes the end point of an address.
    RemoveTunnel { vni: Vni, mac: MacAddress, vtep: Ipv4Addr },
    /// Sets the end point of an address.
    SetTunnel { vni: Vni, mac: MacAddress, vtep: Ipv4Addr },
    /// Sends no broadcast to an end point any more.
    RemoveFlood { vni: Vni, vtep: Ipv4Addr },
    /// Sends broadcast to an end point.
    AddFlood { vni: Vni, vtep: Ipv4Addr },
}

/// A link that is not ours but has a name that we need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a link named {name} is in the tenants' namespace and is not ours; it is left alone")]
pub struct ForeignLink {
    /// The name.
    pub name: LinkName,
}

impl ForeignLink {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        "ForeignLink"
    }
}

/// What is to be done, and what stands in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of execution.
    pub ops: Vec<Op>,
    /// Links that are not touched, nor anything that depends on them.
    pub foreign: Vec<ForeignLink>,
}

/// Plans the way from what is to what should be.
#[must_use]
pub fn plan(observed: &Observed, wanted: &Topology) -> Plan {
    let stands_in = |name: &&LinkName| wanted.links.contains_key(*name);
    let foreign: BTreeSet<LinkName> = observed.foreign.iter().filter(stands_in).cloned().collect();
    let mut ops = Vec::new();
    rule_ops(observed, wanted, &mut ops);
    let new = link_ops(observed, wanted, &foreign, &mut ops);
    let present = surviving(&observed.topology.fdb, wanted, &new);
    fdb_ops(&present, &wanted.fdb, &mut ops);
    // Last: an address moves from a tap before that goes.
    let unwanted = observed.topology.links.keys().filter(|name| !wanted.links.contains_key(*name));
    ops.extend(unwanted.map(|name| Op::DeleteLink { name: name.clone() }));
    Plan { ops, foreign: foreign.into_iter().map(|name| ForeignLink { name }).collect() }
}

fn rule_ops(observed: &Observed, wanted: &Topology, ops: &mut Vec<Op>) {
    let batch = match &observed.rules {
        ObservedRules::Intact => observed.topology.elements.batch_to(&wanted.elements),
        ObservedRules::Absent | ObservedRules::Altered => {
            Some(rules::replace_all(&wanted.elements))
        }
    };
    ops.extend(batch.map(|batch| Op::Rules { batch }));
}

/// Plans the links; returns those that begin anew and so have no entries.
fn link_ops(
    observed: &Observed,
    wanted: &Topology,
    foreign: &BTreeSet<LinkName>,
    ops: &mut Vec<Op>,
) -> BTreeSet<LinkName> {
    let mut new = BTreeSet::new();
    let mut create = Vec::new();
    let mut configure = Vec::new();
    let present = &observed.topology.links;
    // A port can enter a bridge only once that is there.
    let (bridges, ports): (Vec<_>, Vec<_>) =
        wanted.links.iter().partition(|(_, link)| link.port.is_none());
    for (name, link) in bridges.into_iter().chain(ports) {
        if foreign.contains(name) {
            continue;
        }
        let (name, link) = (name.clone(), link.clone());
        let is = present.get(&name);
        let remake = is.is_some_and(|is| !same_thing(&is.kind, &link.kind));
        if remake {
            ops.push(Op::DeleteLink { name: name.clone() });
        }
        if remake || is.is_none() {
            new.insert(name.clone());
            create.push(Op::CreateLink { name: name.clone(), link: link.clone() });
        } else if let Some(owner) = other_owner(is, &link) {
            configure.push(Op::SetOwner { name: name.clone(), owner });
        }
        let moved = link.port.as_ref().is_some_and(|port| new.contains(&port.bridge));
        if moved || new.contains(&name) || is.is_some_and(|is| !same_settings(is, &link)) {
            configure.push(Op::Configure { name, link });
        }
    }
    ops.append(&mut create);
    ops.append(&mut configure);
    new
}

fn same_thing(is: &LinkKind, should: &LinkKind) -> bool {
    match (is, should) {
        (LinkKind::Tap { .. }, LinkKind::Tap { .. }) => true,
        (LinkKind::Bridge(_) | LinkKind::Vxlan { .. } | LinkKind::Tap { .. }, _) => is == should,
    }
}

fn other_owner(is: Option<&Link>, should: &Link) -> Option<u32> {
    match (&is?.kind, &should.kind) {
        (LinkKind::Tap { owner: is }, LinkKind::Tap { owner: should }) if is != should => *should,
        _ => None,
    }
}

fn same_settings(is: &Link, should: &Link) -> bool {
    let Link { kind: _, mtu, alias, address, up, port } = should;
    is.mtu == *mtu
        && is.alias == *alias
        && is.address == *address
        && is.up == *up
        && is.port == *port
}

/// The entries that are still there once the links are as planned.
fn surviving(fdb: &Fdb, wanted: &Topology, new: &BTreeSet<LinkName>) -> Fdb {
    let stays = |name: &LinkName| wanted.links.contains_key(name) && !new.contains(name);
    let tunnel_stays = |vni: Vni| stays(&LinkName::vxlan(vni));
    let mut fdb = fdb.clone();
    fdb.bridge.retain(|(vni, _), entry| stays(&LinkName::bridge(*vni)) && stays(&entry.link));
    fdb.tunnel.retain(|(vni, _), _| tunnel_stays(*vni));
    fdb.flood.retain(|(vni, _)| tunnel_stays(*vni));
    fdb
}

fn fdb_ops(is: &Fdb, should: &Fdb, ops: &mut Vec<Op>) {
    for (&(vni, mac), vteps) in &should.tunnel {
        if is.tunnel.get(&(vni, mac)) != Some(vteps) {
            ops.extend(vteps.iter().map(|&vtep| Op::SetTunnel { vni, mac, vtep }));
        }
    }
    let new = should.flood.difference(&is.flood);
    ops.extend(new.map(|&(vni, vtep)| Op::AddFlood { vni, vtep }));
    for (&(vni, mac), entry) in &should.bridge {
        if !is.bridge.get(&(vni, mac)).is_some_and(|is| same_place(is, entry)) {
            ops.push(Op::SetBridgeEntry { vni, mac, entry: entry.clone() });
        }
    }
    for (&(vni, mac), entry) in &is.bridge {
        if !should.bridge.contains_key(&(vni, mac)) {
            ops.push(Op::RemoveBridgeEntry { vni, mac, link: entry.link.clone() });
        }
    }
    for (&(vni, mac), vteps) in &is.tunnel {
        if !should.tunnel.contains_key(&(vni, mac)) {
            ops.extend(vteps.iter().map(|&vtep| Op::RemoveTunnel { vni, mac, vtep }));
        }
    }
    let gone = is.flood.difference(&should.flood);
    ops.extend(gone.map(|&(vni, vtep)| Op::RemoveFlood { vni, vtep }));
}

/// An entry that was changed in place keeps how it came about once, which
/// makes no difference: neither kind ages or is learned over.
fn same_place(is: &BridgeEntry, should: &BridgeEntry) -> bool {
    is.link == should.link && is.origin != Origin::Foreign
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
