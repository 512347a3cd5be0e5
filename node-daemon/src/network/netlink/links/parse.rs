//! From the kernel's messages to links. Pure.

use std::collections::BTreeMap;

use rtnetlink::packet_core::Nla as _;
use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoTun, InfoVxlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};

use super::{Dump, Found, GROUP, mac};
use crate::network::ident::{LinkName, MacAddress, Vni};
use crate::network::topology::{BridgePort, Link, LinkKind, PortFlags};

/// `IFLA_TUN_OWNER` (linux/if_link.h).
const IFLA_TUN_OWNER: u16 = 1;

/// Attributes of a bridge's port (linux/if_link.h).
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_LOCKED: u16 = 39;

/// The attributes of one message that matter here.
#[derive(Default)]
struct Attributes<'a> {
    name: &'a str,
    group: u32,
    mtu: u32,
    alias: &'a str,
    address: Option<MacAddress>,
    master: Option<u32>,
    kind: Option<&'a InfoKind>,
    data: Option<&'a InfoData>,
    port: Option<&'a InfoPortData>,
}

/// What one message says about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The kernel's number of it.
    pub index: u32,
    /// Its name.
    pub name: LinkName,
    /// The link, if it carries our mark.
    pub ours: Option<Link>,
}

/// Reads a message about a link; `names` are all links by number.
#[must_use]
pub fn parse(message: &LinkMessage, names: &impl Fn(u32) -> Option<LinkName>) -> Parsed {
    let found = attributes(message);
    let ours = (found.group == GROUP).then(|| link(message, &found, names)).flatten();
    Parsed { index: message.header.index, name: LinkName::observed(found.name.to_owned()), ours }
}

/// Reads the flags in a message of a bridge about one of its ports
/// (`IFLA_PROTINFO`); such a message says little else.
#[must_use]
pub fn port_flags(message: &LinkMessage) -> Option<PortFlags> {
    let infos = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::ProtoInfoBridge(infos) => Some(infos),
        _ => None,
    })?;
    let mut flags = PortFlags { learning: true, flood: true, locked: false, hairpin: false };
    for info in infos {
        let field = match info.kind() {
            IFLA_BRPORT_MODE => &mut flags.hairpin,
            IFLA_BRPORT_LEARNING => &mut flags.learning,
            IFLA_BRPORT_UNICAST_FLOOD => &mut flags.flood,
            IFLA_BRPORT_LOCKED => &mut flags.locked,
            _ => continue,
        };
        let mut value = [0];
        if info.value_len() == value.len() {
            info.emit_value(&mut value);
            *field = value != [0];
        }
    }
    Some(flags)
}

pub(super) fn dump(messages: &[LinkMessage]) -> Dump {
    let names: BTreeMap<u32, &str> =
        messages.iter().map(|message| (message.header.index, attributes(message).name)).collect();
    let name = |index| names.get(&index).map(|&name| LinkName::observed(name.to_owned()));
    let mut dump = Dump::default();
    for message in messages {
        let Parsed { index, name, ours } = parse(message, &name);
        match ours {
            Some(link) => {
                dump.links.insert(name, Found { index, link });
            }
            None => {
                dump.foreign.insert(name, index);
            }
        }
    }
    dump
}

fn attributes(message: &LinkMessage) -> Attributes<'_> {
    let mut found = Attributes::default();
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name = name,
            LinkAttribute::Group(group) => found.group = *group,
            LinkAttribute::Mtu(mtu) => found.mtu = *mtu,
            LinkAttribute::IfAlias(alias) => found.alias = alias,
            LinkAttribute::Address(bytes) => found.address = mac(bytes),
            LinkAttribute::Controller(0) => {}
            LinkAttribute::Controller(index) => found.master = Some(*index),
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| match info {
                LinkInfo::Kind(kind) => found.kind = Some(kind),
                LinkInfo::Data(data) => found.data = Some(data),
                LinkInfo::PortData(data) => found.port = Some(data),
                _ => {}
            }),
            _ => {}
        }
    }
    found
}

fn link(
    message: &LinkMessage,
    found: &Attributes<'_>,
    names: &impl Fn(u32) -> Option<LinkName>,
) -> Option<Link> {
    let port = found.master.map(|index| BridgePort {
        bridge: names(index).unwrap_or_else(|| LinkName::observed(String::new())),
        flags: flags(found.port),
    });
    Some(Link {
        kind: kind(found)?,
        mtu: found.mtu,
        alias: found.alias.to_owned(),
        address: found.address.unwrap_or(MacAddress::ZERO),
        up: message.header.flags.contains(LinkFlags::Up),
        port,
    })
}

fn kind(found: &Attributes<'_>) -> Option<LinkKind> {
    match (found.kind?, found.data) {
        (InfoKind::Bridge, _) => {
            let vni: u32 = found.name.strip_prefix("sg-")?.parse().ok()?;
            Some(LinkKind::Bridge(Vni::try_from(vni).ok()?))
        }
        (InfoKind::Vxlan, Some(InfoData::Vxlan(data))) => vxlan(data),
        (InfoKind::Tun, Some(InfoData::Tun(data))) => Some(LinkKind::Tap { owner: owner(data) }),
        _ => None,
    }
}

fn vxlan(data: &[InfoVxlan]) -> Option<LinkKind> {
    let (mut id, mut address, mut udp, mut learns) = (None, None, None, true);
    for info in data {
        match info {
            InfoVxlan::Id(value) => id = Vni::try_from(*value).ok(),
            InfoVxlan::Local(value) => address = Some(*value),
            InfoVxlan::Port(value) => udp = Some(*value),
            InfoVxlan::Learning(value) => learns = *value,
            _ => {}
        }
    }
    Some(LinkKind::Vxlan { vni: id?, local: address?, port: udp?, learning: learns })
}

fn owner(data: &[InfoTun]) -> Option<u32> {
    data.iter().find(|info| info.kind() == IFLA_TUN_OWNER).and_then(|info| {
        let mut bytes = [0; 4];
        (info.value_len() == bytes.len()).then(|| {
            info.emit_value(&mut bytes);
            u32::from_ne_bytes(bytes)
        })
    })
}

fn flags(data: Option<&InfoPortData>) -> PortFlags {
    let mut flags = PortFlags { learning: true, flood: true, locked: false, hairpin: false };
    if let Some(InfoPortData::BridgePort(infos)) = data {
        for info in infos {
            match info {
                InfoBridgePort::Learning(value) => flags.learning = *value,
                InfoBridgePort::UnicastFlood(value) => flags.flood = *value,
                InfoBridgePort::Locked(value) => flags.locked = *value,
                InfoBridgePort::HairpinMode(value) => flags.hairpin = *value,
                _ => {}
            }
        }
    }
    flags
}
