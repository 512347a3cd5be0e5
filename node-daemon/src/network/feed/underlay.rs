//! Where this node's tunnels end: its address, and what the link with that
//! address carries.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

use crate::network::desired::Underlay;
use crate::network::netlink;

/// Why tunnels cannot end here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tunnels over IPv6 are not supported.
    #[error("the node's address {address} is not an IPv4 address, which tunnels need")]
    NotIpv4 { address: IpAddr },
    /// No link has the address.
    #[error("no link of this node has the address {address}")]
    NoLink { address: Ipv4Addr },
    /// The kernel does not say.
    #[error("find the link with the node's address")]
    Netlink(#[from] netlink::Error),
    /// No connection to the kernel.
    #[error("connect to the kernel")]
    Connect(#[from] std::io::Error),
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotIpv4 { .. } => "UnderlayNotIpv4",
            Self::NoLink { .. } => "UnderlayLinkMissing",
            Self::Netlink(error) => error.reason(),
            Self::Connect(_) => "NetlinkUnavailable",
        }
    }
}

/// Finds the link, in the network namespace of the calling thread.
///
/// # Errors
/// When there is none, or it cannot be found out.
pub async fn find(address: IpAddr, port: u16) -> Result<Underlay, Error> {
    let IpAddr::V4(address) = address else { return Err(Error::NotIpv4 { address }) };
    let (handle, connection) = netlink::connect()?;
    let connection = tokio::spawn(connection);
    let found = mtu(&handle, address).await;
    connection.abort();
    let mtu = found?.ok_or(Error::NoLink { address })?;
    Ok(Underlay { address, mtu, port })
}

async fn mtu(handle: &rtnetlink::Handle, address: Ipv4Addr) -> Result<Option<u16>, netlink::Error> {
    let query = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let addresses = netlink::dump(handle, "list addresses", query).await?;
    let Some(index) = addresses.iter().find_map(|message| owner(message, address)) else {
        return Ok(None);
    };
    let query = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let links = netlink::dump(handle, "list links", query).await?;
    Ok(links.iter().find_map(|message| carries(message, index)))
}

fn owner(message: &RouteNetlinkMessage, wanted: Ipv4Addr) -> Option<u32> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let has = |attribute: &AddressAttribute| match attribute {
        AddressAttribute::Local(found) => *found == IpAddr::V4(wanted),
        _ => false,
    };
    message.attributes.iter().any(has).then_some(message.header.index)
}

/// A link that carries more than a tunnel's packet can be long (loopback)
/// carries all of it.
fn carries(message: &RouteNetlinkMessage, index: u32) -> Option<u16> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    if link.header.index != index {
        return None;
    }
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(u16::try_from(*mtu).unwrap_or(u16::MAX)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_a_tunnel_end_is_said() {
        let error = find("fd00::1".parse().unwrap(), 4789).await.unwrap_err();
        assert_eq!(error.reason(), "UnderlayNotIpv4");
        // Of a range for documentation (RFC 5737): no machine has it.
        let error = find("203.0.113.77".parse().unwrap(), 4789).await.unwrap_err();
        assert_eq!(error.reason(), "UnderlayLinkMissing");
    }

    #[tokio::test]
    async fn the_link_with_the_address_says_what_it_carries() {
        let found = find("127.0.0.1".parse().unwrap(), 4789).await.unwrap();
        assert_eq!((found.address, found.port), (Ipv4Addr::LOCALHOST, 4789));
        assert!(found.mtu >= 1500, "{found:?}");
    }
}
