//! Forwarding tables of bridges and VXLAN devices: dumps and changes.

use std::net::Ipv4Addr;

use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Error;
use super::requests::Request;
use crate::network::ident::{LinkName, MacAddress, Vni};
use crate::network::topology::{BridgeEntry, Entry, Origin};

/// Reads the tables of all our links.
///
/// # Errors
/// When the kernel refuses.
pub async fn dump(handle: &Handle) -> Result<Vec<NeighbourMessage>, Error> {
    let mut query = NeighbourMessage::default();
    query.header.family = AddressFamily::Bridge;
    let query = RouteNetlinkMessage::GetNeighbour(query);
    let answers = super::dump(handle, "list forwarding tables", query).await?;
    let entries = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewNeighbour(entry) => Some(entry),
        _ => None,
    });
    Ok(entries.collect())
}

/// Reads a message about an entry of one of our links: `name` tells which link
/// a number is, `vni` the network of a bridge or VXLAN device.
#[must_use]
pub fn parse(
    entry: &NeighbourMessage,
    name: impl Fn(u32) -> Option<LinkName>,
    vni: impl Fn(u32) -> Option<Vni>,
) -> Option<Entry> {
    let header = &entry.header;
    if header.family != AddressFamily::Bridge {
        return None;
    }
    let (mut mac, mut vtep, mut bridge) = (None, None, None);
    for attribute in &entry.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = super::links::mac(bytes),
            NeighbourAttribute::Destination(address) => vtep = ipv4(address),
            NeighbourAttribute::Controller(index) => bridge = Some(*index),
            _ => {}
        }
    }
    let (mac, link) = (mac?, name(header.ifindex)?);
    if header.flags.contains(NeighbourFlags::Own) {
        // Other links list the groups that they listen to in the same way.
        let (vni, vtep) = (vni(header.ifindex)?, vtep?);
        return Some(if mac == MacAddress::ZERO {
            Entry::Flood { vni, vtep }
        } else {
            Entry::Tunnel { vni, mac, vtep }
        });
    }
    // The bridge's own address is bound to each of its ports.
    let vni = (mac != MacAddress::DEVICE).then(|| vni(bridge?)).flatten()?;
    let entry = BridgeEntry { link, origin: origin(header.state, header.flags) };
    Some(Entry::Bridge { vni, mac, entry })
}

fn ipv4(address: &NeighbourAddress) -> Option<Ipv4Addr> {
    match address {
        NeighbourAddress::Inet(address) => Some(*address),
        // In this family the length alone tells what it is.
        NeighbourAddress::Other(bytes) => {
            <[u8; 4]>::try_from(bytes.as_slice()).ok().map(Ipv4Addr::from)
        }
        _ => None,
    }
}

fn origin(state: NeighbourState, flags: NeighbourFlags) -> Origin {
    match state {
        _ if flags.contains(NeighbourFlags::ExtLearned) => Origin::Told,
        NeighbourState::Noarp => Origin::Bound,
        _ => Origin::Foreign,
    }
}

/// An entry of a table, to be set or removed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The number of the link.
    pub index: u32,
    /// The address.
    pub mac: MacAddress,
}

/// Puts an address behind a port of a bridge, wherever it was before: the
/// entry is changed in place.
#[must_use]
pub fn set_bridge(target: Target, origin: Origin) -> Request {
    let mut entry = message(target, NeighbourFlags::Controller);
    entry.header.state = NeighbourState::Noarp;
    if origin == Origin::Told {
        entry.header.flags |= NeighbourFlags::ExtLearned;
    }
    new(entry, NLM_F_REPLACE)
}

/// Removes an address from a port of a bridge.
#[must_use]
pub fn remove_bridge(target: Target) -> Request {
    del(message(target, NeighbourFlags::Controller))
}

/// Sets the end point of an address, wherever it was before.
#[must_use]
pub fn set_tunnel(target: Target, vtep: Ipv4Addr) -> Request {
    new(tunnel(target, vtep), NLM_F_REPLACE)
}

/// Removes an end point of an address.
#[must_use]
pub fn remove_tunnel(target: Target, vtep: Ipv4Addr) -> Request {
    del(tunnel(target, vtep))
}

/// Sends broadcast to an end point too.
#[must_use]
pub fn add_flood(index: u32, vtep: Ipv4Addr) -> Request {
    new(tunnel(Target { index, mac: MacAddress::ZERO }, vtep), NLM_F_APPEND)
}

/// Sends no broadcast to an end point any more.
#[must_use]
pub fn remove_flood(index: u32, vtep: Ipv4Addr) -> Request {
    del(tunnel(Target { index, mac: MacAddress::ZERO }, vtep))
}

fn message(target: Target, flags: NeighbourFlags) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    entry.header.family = AddressFamily::Bridge;
    entry.header.ifindex = target.index;
    entry.header.flags = flags;
    let mac = NeighbourAttribute::LinkLayerAddress(target.mac.bytes().to_vec());
    entry.attributes.push(mac);
    entry
}

fn tunnel(target: Target, vtep: Ipv4Addr) -> NeighbourMessage {
    let mut entry = message(target, NeighbourFlags::Own | NeighbourFlags::ExtLearned);
    // VXLAN takes no entry that is NOARP alone.
    entry.header.state = NeighbourState::Reachable;
    entry.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(vtep)));
    entry
}

fn new(entry: NeighbourMessage, flags: u16) -> Request {
    Request::new(RouteNetlinkMessage::NewNeighbour(entry), NLM_F_CREATE | flags)
}

fn del(entry: NeighbourMessage) -> Request {
    // Gone already, perhaps with another change of ours.
    Request::new(RouteNetlinkMessage::DelNeighbour(entry), 0).tolerating(libc::ENOENT)
}
