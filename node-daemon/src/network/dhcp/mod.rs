//! DHCPv4 (RFC 2131) for one port: the answers are known beforehand, nothing
//! is leased. Pure, but for [`responder`].

mod frame;
mod responder;
mod socket;

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};

use super::ident::MacAddress;
pub use responder::Responders;

/// The least that a BOOTP message must have, in bytes (RFC 1542, 2.1).
const BOOTP_MIN: usize = 300;

/// What a port is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The guest's address.
    pub address: Ipv4Addr,
    /// The length of the subnet's prefix.
    pub prefix: u8,
    /// The address that the answers come from; one of the subnet, commonly the
    /// gateway's. ARP for it is answered at the tap.
    pub server: Ipv4Addr,
    /// The gateway, if there is one.
    pub router: Option<Ipv4Addr>,
    /// The resolvers.
    pub dns: Vec<Ipv4Addr>,
    /// The host name without a domain.
    pub hostname: String,
    /// The largest packet that the guest may send, in bytes (option 26).
    pub mtu: u16,
    /// In seconds. It only tells how soon a guest hears of changes.
    pub seconds: u32,
}

/// The answer to a frame that a guest sent: a DHCP request, or ARP for the
/// server's address. `None` for all other frames and for what needs no answer.
#[must_use]
pub fn answer(frame: &[u8], mac: MacAddress, lease: &Lease) -> Option<Vec<u8>> {
    if let Some(asker) = frame::arp_request(frame, mac, lease.server) {
        return Some(frame::arp_reply(mac, asker, lease.server));
    }
    let request = frame::dhcp_request(frame, mac)?;
    let request = Message::decode(&mut Decoder::new(request)).ok()?;
    let (reply, to) = reply(&request, mac, lease)?;
    let mut bytes = Vec::with_capacity(BOOTP_MIN);
    reply.encode(&mut Encoder::new(&mut bytes)).ok()?;
    if bytes.len() < BOOTP_MIN {
        bytes.resize(BOOTP_MIN, 0);
    }
    Some(frame::dhcp_reply(&bytes, lease.server, to))
}

/// What is answered, and to where.
fn reply(
    request: &Message,
    mac: MacAddress,
    lease: &Lease,
) -> Option<(Message, (MacAddress, Ipv4Addr))> {
    // A relay's requests do not come from this port.
    if request.opcode() != Opcode::BootRequest
        // dhcproto takes the guest's word for the length and would slice
        // beyond the field.
        || request.hlen() != 6
        || request.chaddr() != mac.bytes()
        || request.giaddr() != Ipv4Addr::UNSPECIFIED
    {
        return None;
    }
    let kind = verdict(request, lease)?;
    let mut message = Message::new_with_id(
        request.xid(),
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::UNSPECIFIED,
        &mac.bytes(),
    );
    message.set_opcode(Opcode::BootReply).set_flags(request.flags());
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(lease.server));
    if kind != MessageType::Nak {
        tell(&mut message, request, lease);
    }
    let to = destination(request, kind, mac, lease);
    Some((message, to))
}

/// The kind of the answer (RFC 2131, 4.3).
fn verdict(request: &Message, lease: &Lease) -> Option<MessageType> {
    let options = request.opts();
    let Some(DhcpOption::MessageType(kind)) = options.get(OptionCode::MessageType) else {
        return None;
    };
    match kind {
        MessageType::Discover => Some(MessageType::Offer),
        MessageType::Inform => Some(MessageType::Ack),
        MessageType::Request => {
            // The guest chose another server; there is none, so it is not for
            // us to disturb it.
            if let Some(DhcpOption::ServerIdentifier(server)) =
                options.get(OptionCode::ServerIdentifier)
                && *server != lease.server
            {
                return None;
            }
            let wanted = match options.get(OptionCode::RequestedIpAddress) {
                Some(DhcpOption::RequestedIpAddress(address)) => *address,
                _ => request.ciaddr(),
            };
            let right = wanted == lease.address;
            Some(if right { MessageType::Ack } else { MessageType::Nak })
        }
        _ => None,
    }
}

fn tell(message: &mut Message, request: &Message, lease: &Lease) {
    let informs = matches!(
        request.opts().get(OptionCode::MessageType),
        Some(DhcpOption::MessageType(MessageType::Inform))
    );
    message.set_ciaddr(request.ciaddr());
    if !informs {
        message.set_yiaddr(lease.address);
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(lease.seconds));
    }
    let options = message.opts_mut();
    options.insert(DhcpOption::SubnetMask(mask(lease.prefix)));
    if let Some(router) = lease.router {
        options.insert(DhcpOption::Router(vec![router]));
    }
    if !lease.dns.is_empty() {
        options.insert(DhcpOption::DomainNameServer(lease.dns.clone()));
    }
    options.insert(DhcpOption::Hostname(lease.hostname.clone()));
    options.insert(DhcpOption::InterfaceMtu(lease.mtu));
}

/// RFC 2131, 4.1. There is no relay.
fn destination(
    request: &Message,
    kind: MessageType,
    mac: MacAddress,
    lease: &Lease,
) -> (MacAddress, Ipv4Addr) {
    if kind == MessageType::Nak
        || (request.flags().broadcast() && request.ciaddr().is_unspecified())
    {
        (MacAddress::BROADCAST, Ipv4Addr::BROADCAST)
    } else if request.ciaddr().is_unspecified() {
        (mac, lease.address)
    } else {
        (mac, request.ciaddr())
    }
}

fn mask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32_u32.saturating_sub(prefix.into());
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

#[cfg(test)]
mod tests;
