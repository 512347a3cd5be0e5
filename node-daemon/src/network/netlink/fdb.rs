//! Forwarding tables of bridges and VXLAN devices: dumps and changes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rtnetlink::Handle;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Error, request};
use crate::network::ident::{LinkName, MacAddress, Vni};
use crate::network::topology::{BridgeEntry, Fdb, Origin};

/// Reads the tables of all our links. `names` are the links by number, `vnis`
/// the networks of bridges and VXLAN devices.
///
/// # Errors
/// When the kernel refuses.
pub async fn dump(
    handle: &Handle,
    names: &BTreeMap<u32, LinkName>,
    vnis: &BTreeMap<u32, Vni>,
) -> Result<Fdb, Error> {
    let mut query = NeighbourMessage::default();
    query.header.family = AddressFamily::Bridge;
    let query = RouteNetlinkMessage::GetNeighbour(query);
    let mut fdb = Fdb::default();
    for answer in super::dump(handle, "list forwarding tables", query).await? {
        if let RouteNetlinkMessage::NewNeighbour(entry) = answer {
            add(&mut fdb, &entry, names, vnis);
        }
    }
    Ok(fdb)
}

fn add(
    fdb: &mut Fdb,
    entry: &NeighbourMessage,
    names: &BTreeMap<u32, LinkName>,
    vnis: &BTreeMap<u32, Vni>,
) {
    let (mut mac, mut vtep, mut bridge) = (None, None, None);
    for attribute in &entry.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = super::links::mac(bytes),
            NeighbourAttribute::Destination(address) => vtep = ipv4(address),
            NeighbourAttribute::Controller(index) => bridge = Some(*index),
            _ => {}
        }
    }
    let header = &entry.header;
    let (Some(mac), Some(link)) = (mac, names.get(&header.ifindex)) else { return };
    if header.flags.contains(NeighbourFlags::Own) {
        // Other links list the groups that they listen to in the same dump.
        if let (Some(vni), Some(vtep)) = (vnis.get(&header.ifindex), vtep) {
            if mac == MacAddress::ZERO {
                fdb.flood.insert((*vni, vtep));
            } else {
                fdb.tunnel.entry((*vni, mac)).or_default().insert(vtep);
            }
        }
    } else if let Some(vni) = bridge.and_then(|index| vnis.get(&index))
        && mac != MacAddress::DEVICE
    {
        let entry = BridgeEntry { link: link.clone(), origin: origin(header.state, header.flags) };
        fdb.bridge.insert((*vni, mac), entry);
    }
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

/// Puts an address behind a port of a bridge, wherever it was before.
///
/// # Errors
/// When the kernel refuses.
pub async fn set_bridge(handle: &Handle, target: Target, origin: Origin) -> Result<(), Error> {
    let mut entry = message(target, NeighbourFlags::Controller);
    entry.header.state = NeighbourState::Noarp;
    if origin == Origin::Told {
        entry.header.flags |= NeighbourFlags::ExtLearned;
    }
    let action = format!("set bridge entry {}", target.mac);
    new(handle, &action, entry, NLM_F_REPLACE).await
}

/// Removes an address from a port of a bridge.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_bridge(handle: &Handle, target: Target) -> Result<(), Error> {
    let action = format!("remove bridge entry {}", target.mac);
    del(handle, &action, message(target, NeighbourFlags::Controller)).await
}

/// Sets the end point of an address.
///
/// # Errors
/// When the kernel refuses.
pub async fn set_tunnel(handle: &Handle, target: Target, vtep: Ipv4Addr) -> Result<(), Error> {
    let action = format!("set tunnel of {} to {vtep}", target.mac);
    new(handle, &action, tunnel(target, vtep), NLM_F_REPLACE).await
}

/// Removes an end point of an address.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_tunnel(handle: &Handle, target: Target, vtep: Ipv4Addr) -> Result<(), Error> {
    let action = format!("remove tunnel of {} to {vtep}", target.mac);
    del(handle, &action, tunnel(target, vtep)).await
}

/// Sends broadcast to an end point too.
///
/// # Errors
/// When the kernel refuses.
pub async fn add_flood(handle: &Handle, index: u32, vtep: Ipv4Addr) -> Result<(), Error> {
    let target = Target { index, mac: MacAddress::ZERO };
    new(handle, &format!("flood to {vtep}"), tunnel(target, vtep), NLM_F_APPEND).await
}

/// Sends no broadcast to an end point any more.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_flood(handle: &Handle, index: u32, vtep: Ipv4Addr) -> Result<(), Error> {
    let target = Target { index, mac: MacAddress::ZERO };
    del(handle, &format!("stop flooding to {vtep}"), tunnel(target, vtep)).await
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

async fn new(
    handle: &Handle,
    action: &str,
    entry: NeighbourMessage,
    flags: u16,
) -> Result<(), Error> {
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(entry));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | flags;
    request(handle, action, message).await.map(|_| ())
}

async fn del(handle: &Handle, action: &str, entry: NeighbourMessage) -> Result<(), Error> {
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::DelNeighbour(entry));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    match request(handle, action, message).await {
        // Gone already, perhaps with another change of ours.
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(()),
        done => done.map(|_| ()),
    }
}
