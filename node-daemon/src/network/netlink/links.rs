//! Bridges, VXLAN devices and taps: dumps, and what is done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVxlan};

use super::netns::Namespace;
use super::{Error, request};
use crate::network::ident::{LinkName, MacAddress, Vni};
use crate::network::topology::{BridgePort, Link, LinkKind};

mod parse;

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
    /// All others.
    pub foreign: BTreeSet<LinkName>,
}

impl Dump {
    /// The network of each of our bridges and VXLAN devices, by number.
    #[must_use]
    pub fn vnis(&self) -> BTreeMap<u32, Vni> {
        let network = |found: &Found| match found.link.kind {
            LinkKind::Bridge(vni) | LinkKind::Vxlan { vni, .. } => Some((found.index, vni)),
            LinkKind::Tap { .. } => None,
        };
        self.links.values().filter_map(network).collect()
    }
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

/// Makes a bridge.
///
/// # Errors
/// When the kernel refuses.
pub async fn create_bridge(handle: &Handle, name: &LinkName) -> Result<(), Error> {
    // VLAN filtering is not mentioned: a kernel without it would refuse the
    // whole bridge, even for `off`.
    let message = LinkMessageBuilder::<LinkBridge>::new(name.as_str())
        .stp_state(rtnetlink::packet_route::link::BridgeStpState::Disabled)
        .mcast_snooping(false)
        .link_group(GROUP)
        .build();
    let made = handle.link().add(message).execute().await;
    made.map_err(|error| Error::from_rtnetlink(format!("create bridge {name}"), error))
}

/// Makes a VXLAN device in the tenants' namespace whose tunnels start in the
/// namespace of `host`. One request: there is never a half-made one elsewhere.
///
/// # Errors
/// When the kernel refuses; `EEXIST` where somebody else has the VNI on this
/// port.
pub async fn create_vxlan(
    host: &Handle,
    tenants: &Namespace,
    name: &LinkName,
    tunnel: (Vni, Ipv4Addr, u16),
) -> Result<(), Error> {
    let (vni, local, port) = tunnel;
    let message = LinkVxlan::new(name.as_str(), vni.get())
        .local(local)
        .port(port)
        .learning(false)
        .link_group(GROUP)
        .setns_by_fd(tenants.as_fd().as_raw_fd())
        .build();
    let made = host.link().add(message).execute().await;
    let action = || format!("create VXLAN device {name} on UDP port {port}");
    made.map_err(|error| Error::from_rtnetlink(action(), error))
}

/// Puts our mark on a link that was made by other means.
///
/// # Errors
/// When the kernel refuses.
pub async fn mark(handle: &Handle, name: &LinkName) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name.as_str()).link_group(GROUP).build();
    set(handle, format!("mark {name}"), message).await
}

/// Removes a link.
///
/// # Errors
/// When the kernel refuses.
pub async fn delete(handle: &Handle, name: &LinkName, index: u32) -> Result<(), Error> {
    let removed = handle.link().del(index).execute().await;
    match removed.map_err(|error| Error::from_rtnetlink(format!("delete {name}"), error)) {
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
        done => done,
    }
}

/// Sets everything of a link that can be set; `bridge` is the number of the
/// bridge that it is to be a port of.
///
/// # Errors
/// When the kernel refuses.
pub async fn configure(
    handle: &Handle,
    name: &LinkName,
    link: &Link,
    bridge: Option<u32>,
) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name.as_str())
        .mtu(link.mtu)
        .address(link.address.bytes().to_vec())
        .alias(link.alias.as_str())
        .controller(bridge.unwrap_or(0))
        .build();
    set(handle, format!("configure {name}"), message).await?;
    if let Some(port) = &link.port {
        set_port(handle, name, port).await?;
    }
    // Last: a port that is on before its flags are set would learn.
    let message = LinkUnspec::new_with_name(name.as_str());
    let message = if link.up { message.up() } else { message.down() };
    set(handle, format!("switch on {name}"), message.build()).await
}

async fn set_port(handle: &Handle, name: &LinkName, port: &BridgePort) -> Result<(), Error> {
    let index = index_of(handle, name).await?;
    let message = LinkBridgePort::new(index)
        .learning(port.flags.learning)
        .flood(port.flags.flood)
        .locked(port.flags.locked)
        .hairpin(port.flags.hairpin)
        .build();
    // RTM_SETLINK takes these without a word and ignores them; only
    // RTM_NEWLINK, here for a link that exists, applies them.
    let done = handle.link().add(message).set_flags(NLM_F_REQUEST | NLM_F_ACK).execute().await;
    let action = || format!("set up port {name} of {}", port.bridge);
    done.map_err(|error| Error::from_rtnetlink(action(), error))
}

/// The kernel's number of a link.
///
/// # Errors
/// When there is none.
pub async fn index_of(handle: &Handle, name: &LinkName) -> Result<u32, Error> {
    let mut query = LinkMessage::default();
    query.attributes.push(LinkAttribute::IfName(name.as_str().to_owned()));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(query));
    message.header.flags = NLM_F_REQUEST;
    let action = format!("look up {name}");
    let answers = request(handle, &action, message).await?;
    answers
        .into_iter()
        .find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
            _ => None,
        })
        .ok_or_else(|| Error::new(action, std::io::ErrorKind::NotFound.into()))
}

async fn set(handle: &Handle, action: String, message: LinkMessage) -> Result<(), Error> {
    let done = handle.link().set(message).execute().await;
    done.map_err(|error| Error::from_rtnetlink(action, error))
}

/// The address in an attribute.
pub(super) fn mac(bytes: &[u8]) -> Option<MacAddress> {
    Some(MacAddress::new(bytes.try_into().ok()?))
}
