//! The kernel's requests that an operation consists of. Pure.

use crate::network::apply::Kernel;
use crate::network::cache::Cache;
use crate::network::diff::Op;
use crate::network::ident::{LinkName, MacAddress, Vni};
use crate::network::netlink::fdb::{self, Target};
use crate::network::netlink::links;
use crate::network::netlink::requests::Request;
use crate::network::topology::{Link, LinkKind};

/// The requests; none for what has gone already.
pub(super) fn requests(kernel: &Kernel, op: &Op, cache: &Cache) -> Vec<Request> {
    let request = match op {
        Op::Configure { name, link } => return configure(cache, name, link),
        Op::CreateLink { name, link } => create(kernel, name, link),
        Op::DeleteLink { name } => cache.index(name).map(links::delete),
        Op::SetBridgeEntry { mac, entry, .. } => {
            at(cache, &entry.link, *mac).map(|target| fdb::set_bridge(target, entry.origin))
        }
        Op::RemoveBridgeEntry { mac, link, .. } => at(cache, link, *mac).map(fdb::remove_bridge),
        Op::SetTunnel { vni, mac, vtep } => {
            tunnel(cache, *vni, *mac).map(|target| fdb::set_tunnel(target, *vtep))
        }
        Op::RemoveTunnel { vni, mac, vtep } => {
            tunnel(cache, *vni, *mac).map(|target| fdb::remove_tunnel(target, *vtep))
        }
        Op::AddFlood { vni, vtep } => {
            cache.index(&LinkName::vxlan(*vni)).map(|index| fdb::add_flood(index, *vtep))
        }
        Op::RemoveFlood { vni, vtep } => {
            cache.index(&LinkName::vxlan(*vni)).map(|index| fdb::remove_flood(index, *vtep))
        }
        Op::Rules { .. } | Op::SetOwner { .. } => None,
    };
    request.into_iter().collect()
}

fn create(kernel: &Kernel, name: &LinkName, link: &Link) -> Option<Request> {
    match link.kind {
        LinkKind::Bridge(_) => Some(links::new_bridge(name)),
        LinkKind::Vxlan { vni, local, port, .. } => {
            Some(links::new_vxlan(&kernel.namespace, name, (vni, local, port)))
        }
        LinkKind::Tap { .. } => None,
    }
}

fn configure(cache: &Cache, name: &LinkName, link: &Link) -> Vec<Request> {
    let bridge = link.port.as_ref().and_then(|port| cache.index(&port.bridge));
    let index = cache.index(name);
    index.map(|index| links::configure(index, link, bridge)).unwrap_or_default()
}

fn at(cache: &Cache, link: &LinkName, mac: MacAddress) -> Option<Target> {
    cache.index(link).map(|index| Target { index, mac })
}

fn tunnel(cache: &Cache, vni: Vni, mac: MacAddress) -> Option<Target> {
    at(cache, &LinkName::vxlan(vni), mac)
}

/// What was tried, for people.
pub(super) fn action(op: &Op) -> String {
    match op {
        Op::Rules { .. } => "set the rules".to_owned(),
        Op::DeleteLink { name } => format!("delete {name}"),
        Op::CreateLink { name, link } => match link.kind {
            LinkKind::Bridge(_) => format!("create bridge {name}"),
            LinkKind::Vxlan { vni, port, .. } => {
                format!("create VXLAN device {name} with VNI {vni} on UDP port {port}")
            }
            LinkKind::Tap { .. } => format!("create tap {name}"),
        },
        Op::SetOwner { name, .. } => format!("set the owner of {name}"),
        Op::Configure { name, link } => match link.kind {
            // Its socket is opened when it is switched on.
            LinkKind::Vxlan { port, .. } => format!("set up {name} on UDP port {port}"),
            LinkKind::Bridge(_) | LinkKind::Tap { .. } => format!("set up {name}"),
        },
        Op::RemoveBridgeEntry { mac, link, .. } => format!("remove {mac} from {link}"),
        Op::SetBridgeEntry { mac, entry, .. } => format!("put {mac} behind {}", entry.link),
        Op::RemoveTunnel { vni, mac, vtep } => format!("remove tunnel of {vni} {mac} to {vtep}"),
        Op::SetTunnel { vni, mac, vtep } => format!("set tunnel of {vni} {mac} to {vtep}"),
        Op::RemoveFlood { vni, vtep } => format!("stop flooding of {vni} to {vtep}"),
        Op::AddFlood { vni, vtep } => format!("flood of {vni} to {vtep}"),
    }
}
