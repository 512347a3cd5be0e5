//! DHCPv4 (RFC 2131) for one port: the answers are known beforehand, nothing
//! is leased. Pure, but for [`responder`].

mod frame;
mod message;
mod responder;
mod socket;

use std::net::Ipv4Addr;

use self::message::{Asked, Reply, Request, Verdict, option};
use super::ident::MacAddress;
pub use responder::Responders;

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
    let request = Request::read(frame::dhcp_request(frame, mac)?, mac)?;
    let verdict = verdict(&request, lease)?;
    let reply = reply(&request, verdict, mac, lease);
    let to = destination(&request, verdict, mac, lease);
    Some(frame::dhcp_reply(&reply, lease.server, to))
}

/// The kind of the answer (RFC 2131, 4.3).
fn verdict(request: &Request, lease: &Lease) -> Option<Verdict> {
    match request.asked {
        Asked::Discover => Some(Verdict::Offer),
        Asked::Inform => Some(Verdict::Ack),
        // The guest chose another server; there is none, so it is not for us
        // to disturb it.
        Asked::Request if request.server.is_some_and(|server| server != lease.server) => None,
        Asked::Request => {
            let right = request.requested.unwrap_or(request.ciaddr) == lease.address;
            Some(if right { Verdict::Ack } else { Verdict::Nak })
        }
    }
}

fn reply(request: &Request, verdict: Verdict, mac: MacAddress, lease: &Lease) -> Vec<u8> {
    let mut reply = Reply::to(request, mac, verdict, lease.server);
    if verdict == Verdict::Nak {
        return reply.finish();
    }
    // Who only informs itself is given neither an address nor a time.
    if request.asked == Asked::Inform {
        reply.set_addresses(request.ciaddr, Ipv4Addr::UNSPECIFIED);
    } else {
        reply.set_addresses(request.ciaddr, lease.address);
        reply.add(option::LEASE_SECONDS, &lease.seconds.to_be_bytes());
    }
    reply.add(option::SUBNET_MASK, &mask(lease.prefix).octets());
    if let Some(router) = lease.router {
        reply.add(option::ROUTER, &router.octets());
    }
    if !lease.dns.is_empty() {
        let octets: Vec<u8> = lease.dns.iter().flat_map(Ipv4Addr::octets).collect();
        reply.add(option::DNS, &octets);
    }
    reply.add(option::HOSTNAME, lease.hostname.as_bytes());
    reply.add(option::MTU, &lease.mtu.to_be_bytes());
    reply.finish()
}

/// RFC 2131, 4.1. There is no relay.
fn destination(
    request: &Request,
    verdict: Verdict,
    mac: MacAddress,
    lease: &Lease,
) -> (MacAddress, Ipv4Addr) {
    let nowhere_yet = request.ciaddr.is_unspecified();
    if verdict == Verdict::Nak || (request.wants_broadcast() && nowhere_yet) {
        (MacAddress::BROADCAST, Ipv4Addr::BROADCAST)
    } else if nowhere_yet {
        (mac, lease.address)
    } else {
        (mac, request.ciaddr)
    }
}

fn mask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32_u32.saturating_sub(prefix.into());
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

#[cfg(test)]
mod tests;
