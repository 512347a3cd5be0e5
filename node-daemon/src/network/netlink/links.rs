//! Bridges, VXLAN devices and taps: dumps, and what is done to them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVxlan};

use super::netns::Namespace;
use super::requests::Request;
use super::{Error, request};
use crate::network::ident::{LinkName, MacAddress, Vni};
use crate::network::topology::Link;

pub mod parse;

/// The device group of everything that is ours ("SG"): the mark that can be
/// given in the same request that makes a link.
pub const GROUP: u32 = 0x5347;

/// A link of ours as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The kernel's number of it.
    pub index: u32,
    /// Its properties.
    pub link: Link,
}

/// All links of the namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump {
    /// Those with our mark.
    pub links: BTreeMap<LinkName, Found>,
    /// The numbers of all others.
    pub foreign: BTreeMap<LinkName, u32>,
}

/// Reads all links.
///
/// # Errors
/// When the kernel refuses.
pub async fn dump(handle: &Handle) -> Result<Dump, Error> {
    let query = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answers = super::dump(handle, "list links", query).await?;
    let messages = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    Ok(parse::dump(&messages.collect::<Vec<_>>()))
}

/// Makes a bridge, switched off.
#[must_use]
pub fn new_bridge(name: &LinkName) -> Request {
    // VLAN filtering is not mentioned: a kernel without it would refuse the
    // whole bridge, even for `off`.
    let message = LinkMessageBuilder::<LinkBridge>::new(name.as_str())
        .stp_state(rtnetlink::packet_route::link::BridgeStpState::Disabled)
        .mcast_snooping(false)
        .address(MacAddress::DEVICE.bytes().to_vec())
        .link_group(GROUP)
        .build();
    Request::new(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Makes a VXLAN device in the tenants' namespace whose tunnels start in the
/// namespace that the request is sent in. One request: there is never a
/// half-made one elsewhere. `EEXIST` or `EADDRINUSE` where somebody else has
/// the VNI or the UDP port.
#[must_use]
pub fn new_vxlan(tenants: &Namespace, name: &LinkName, tunnel: (Vni, Ipv4Addr, u16)) -> Request {
    let (vni, local, port) = tunnel;
    let message = LinkVxlan::new(name.as_str(), vni.get())
        .local(local)
        .port(port)
        .learning(false)
        .address(MacAddress::DEVICE.bytes().to_vec())
        .link_group(GROUP)
        .setns_by_fd(tenants.as_fd().as_raw_fd())
        .build();
    Request::new(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Puts our mark on a link that was made by other means.
#[must_use]
pub fn mark(name: &LinkName) -> Request {
    let message = LinkUnspec::new_with_name(name.as_str()).link_group(GROUP).build();
    Request::new(RouteNetlinkMessage::SetLink(message), 0)
}

/// Removes a link.
#[must_use]
pub fn delete(index: u32) -> Request {
    let message = LinkUnspec::new_with_index(index).build();
    Request::new(RouteNetlinkMessage::DelLink(message), 0).tolerating(libc::ENODEV)
}

/// Sets everything of a link that can be set; `bridge` is the number of the
/// bridge that it is to be a port of.
#[must_use]
pub fn configure(index: u32, link: &Link, bridge: Option<u32>) -> Vec<Request> {
    let settings = LinkUnspec::new_with_index(index)
        .mtu(link.mtu)
        .address(link.address.bytes().to_vec())
        .alias(link.alias.as_str())
        .controller(bridge.unwrap_or(0));
    let Some(port) = &link.port else {
        return vec![Request::new(RouteNetlinkMessage::SetLink(switch(settings, link.up)), 0)];
    };
    let flags = LinkBridgePort::new(index)
        .learning(port.flags.learning)
        .flood(port.flags.flood)
        .locked(port.flags.locked)
        .hairpin(port.flags.hairpin);
    // Flags are taken by the bridge that it is in already, so they are a
    // request of their own, and before it is switched on, since a port that is
    // on without them would learn. RTM_SETLINK takes flags without a word and
    // ignores them; only RTM_NEWLINK, here for a link that exists, applies
    // them.
    vec![
        Request::new(RouteNetlinkMessage::SetLink(settings.build()), 0),
        Request::new(RouteNetlinkMessage::NewLink(switch(flags, link.up)), 0),
    ]
}

fn switch<T>(message: LinkMessageBuilder<T>, up: bool) -> LinkMessage {
    if up { message.up().build() } else { message.down().build() }
}

/// Makes a bridge.
///
/// # Errors
/// When the kernel refuses.
pub async fn create_bridge(handle: &Handle, name: &LinkName) -> Result<(), Error> {
    let request = new_bridge(name).into_message();
    super::request(handle, &format!("create bridge {name}"), request).await.map(|_| ())
}

/// Makes a VXLAN device as [`new_vxlan`] does.
///
/// # Errors
/// When the kernel refuses.
pub async fn create_vxlan(
    host: &Handle,
    tenants: &Namespace,
    name: &LinkName,
    tunnel: (Vni, Ipv4Addr, u16),
) -> Result<(), Error> {
    let request = new_vxlan(tenants, name, tunnel).into_message();
    let action = format!("create VXLAN device {name} on UDP port {}", tunnel.2);
    super::request(host, &action, request).await.map(|_| ())
}

/// Reads one link.
///
/// # Errors
/// When there is none.
pub async fn get(handle: &Handle, name: &LinkName) -> Result<LinkMessage, Error> {
    let mut query = LinkMessage::default();
    query.attributes.push(LinkAttribute::IfName(name.as_str().to_owned()));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(query));
    message.header.flags = NLM_F_REQUEST;
    let action = format!("look up {name}");
    let answers = request(handle, &action, message).await?;
    answers
        .into_iter()
        .find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })
        .ok_or_else(|| Error::new(action, std::io::ErrorKind::NotFound.into()))
}

/// The address in an attribute.
pub(super) fn mac(bytes: &[u8]) -> Option<MacAddress> {
    Some(MacAddress::new(bytes.try_into().ok()?))
}
