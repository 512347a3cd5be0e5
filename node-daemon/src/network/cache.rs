//! What the kernel holds of links and forwarding tables, kept up to date by its
//! notifications. Pure: taking a notification in costs the same whatever else
//! is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::ident::{LinkName, Vni};
use super::netlink::links::parse::{self, Parsed};
use super::netlink::{fdb, links};
use super::topology::{Entry, Fdb, Link, LinkKind};

/// What is to be looked at again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Networks.
    pub vnis: BTreeSet<Vni>,
    /// Links, of networks or not.
    pub links: BTreeSet<LinkName>,
    /// Everything.
    pub everything: bool,
    /// Notifications were lost or cannot be followed: the cache holds no more.
    pub lost: bool,
}

impl Dirty {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { vnis, links, everything, lost } = self;
        vnis.is_empty() && links.is_empty() && !everything && !lost
    }
}

/// The kernel's links and forwarding tables in the tenants' namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cache {
    /// All links, ours or not.
    names: BTreeMap<u32, LinkName>,
    /// Our bridges and VXLAN devices.
    vnis: BTreeMap<u32, Vni>,
    links: BTreeMap<LinkName, Link>,
    indices: Arc<BTreeMap<LinkName, u32>>,
    foreign: BTreeMap<LinkName, u32>,
    fdb: Fdb,
}

impl Cache {
    /// From full listings.
    #[must_use]
    pub fn new(dump: links::Dump, entries: &[NeighbourMessage]) -> Self {
        let mut cache = Self::default();
        for (name, found) in dump.links {
            cache.insert(Parsed { index: found.index, name, ours: Some(found.link) });
        }
        for (name, index) in dump.foreign {
            cache.insert(Parsed { index, name, ours: None });
        }
        for entry in entries.iter().filter_map(|entry| cache.parse(entry)).collect::<Vec<_>>() {
            cache.fdb.set(entry);
        }
        cache
    }

    /// Our links.
    #[must_use]
    pub const fn links(&self) -> &BTreeMap<LinkName, Link> {
        &self.links
    }

    /// The kernel's numbers of our links.
    #[must_use]
    pub const fn indices(&self) -> &Arc<BTreeMap<LinkName, u32>> {
        &self.indices
    }

    /// The number of one of our links.
    #[must_use]
    pub fn index(&self, name: &LinkName) -> Option<u32> {
        self.indices.get(name).copied()
    }

    /// The links that are not ours.
    #[must_use]
    pub const fn foreign(&self) -> &BTreeMap<LinkName, u32> {
        &self.foreign
    }

    /// The forwarding tables.
    #[must_use]
    pub const fn fdb(&self) -> &Fdb {
        &self.fdb
    }

    /// Takes a notification in and says what it is about.
    pub fn take(&mut self, notification: &RouteNetlinkMessage, dirty: &mut Dirty) {
        match notification {
            RouteNetlinkMessage::NewLink(link) => self.take_link(link, dirty),
            // A bridge says the same of a port that left it.
            RouteNetlinkMessage::DelLink(link)
                if link.header.interface_family != AddressFamily::Bridge =>
            {
                self.forget(link.header.index, dirty);
            }
            RouteNetlinkMessage::NewNeighbour(entry) => {
                if let Some(entry) = self.parse(entry) {
                    dirty.vnis.insert(entry.vni());
                    self.fdb.set(entry);
                }
            }
            RouteNetlinkMessage::DelNeighbour(entry) => {
                if let Some(entry) = self.parse(entry) {
                    dirty.vnis.insert(entry.vni());
                    self.fdb.remove(&entry);
                }
            }
            _ => {}
        }
    }

    fn parse(&self, entry: &NeighbourMessage) -> Option<Entry> {
        let ours = |index| {
            let name = self.names.get(&index)?;
            self.links.contains_key(name).then(|| name.clone())
        };
        fdb::parse(entry, ours, |index| self.vnis.get(&index).copied())
    }

    fn take_link(&mut self, link: &LinkMessage, dirty: &mut Dirty) {
        if link.header.interface_family == AddressFamily::Bridge {
            self.take_port(link, dirty);
            return;
        }
        let parsed = parse::parse(link, &|index| self.names.get(&index).cloned());
        if let Some(before) = self.names.get(&parsed.index) {
            // Others name it as their bridge, and what it had learned before
            // it was ours was not listened to.
            let renamed = *before != parsed.name;
            let taken = parsed.ours.as_ref().is_some_and(|link| !is_tap(link))
                && !self.links.contains_key(before);
            dirty.lost |= renamed || taken;
        }
        dirty.links.insert(parsed.name.clone());
        self.insert(parsed);
    }

    /// What a bridge says about a port of its.
    fn take_port(&mut self, link: &LinkMessage, dirty: &mut Dirty) {
        let name = self.names.get(&link.header.index);
        let known = name.and_then(|name| self.links.get_mut(name));
        if let (Some(name), Some(port), Some(flags)) =
            (name, known.and_then(|link| link.port.as_mut()), parse::port_flags(link))
        {
            port.flags = flags;
            dirty.links.insert(name.clone());
        }
    }

    fn insert(&mut self, parsed: Parsed) {
        let Parsed { index, name, ours } = parsed;
        if self.names.get(&index).is_some_and(|before| *before != name) {
            self.forget(index, &mut Dirty::default());
        }
        self.names.insert(index, name.clone());
        let Some(link) = ours else {
            self.lose(index, &name);
            self.foreign.insert(name, index);
            return;
        };
        self.foreign.remove(&name);
        if let LinkKind::Bridge(vni) | LinkKind::Vxlan { vni, .. } = link.kind {
            self.vnis.insert(index, vni);
        }
        if self.indices.get(&name) != Some(&index) {
            Arc::make_mut(&mut self.indices).insert(name.clone(), index);
        }
        self.links.insert(name, link);
    }

    fn forget(&mut self, index: u32, dirty: &mut Dirty) {
        if let Some(name) = self.names.remove(&index) {
            self.lose(index, &name);
            self.foreign.remove(&name);
            dirty.links.insert(name);
        }
    }

    /// What was ours is not any more. Of the entries of a tap its bridge tells.
    fn lose(&mut self, index: u32, name: &LinkName) {
        let Some(link) = self.links.remove(name) else { return };
        Arc::make_mut(&mut self.indices).remove(name);
        self.vnis.remove(&index);
        match link.kind {
            LinkKind::Bridge(vni) => {
                let entries = self.fdb.of_network(vni).bridge;
                entries.keys().for_each(|key| {
                    self.fdb.bridge.remove(key);
                });
            }
            LinkKind::Vxlan { vni, .. } => {
                let Fdb { bridge: _, tunnel, flood } = self.fdb.of_network(vni);
                tunnel.keys().for_each(|key| {
                    self.fdb.tunnel.remove(key);
                });
                flood.iter().for_each(|key| {
                    self.fdb.flood.remove(key);
                });
            }
            LinkKind::Tap { .. } => {}
        }
    }
}

const fn is_tap(link: &Link) -> bool {
    matches!(link.kind, LinkKind::Tap { .. })
}
