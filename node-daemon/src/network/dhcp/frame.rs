//! Ethernet, ARP, IPv4 and UDP as far as DHCP needs them. Every length is
//! checked: the bytes come from a guest.

use std::net::Ipv4Addr;

use crate::network::ident::MacAddress;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];
const PROTOCOL_UDP: u8 = 17;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// ARP for IPv4 over Ethernet (RFC 826): hardware, protocol, lengths, request.
const ARP_REQUEST: [u8; 8] = [0, 1, 0x08, 0x00, 6, 4, 0, 1];
const ARP_REPLY: [u8; 8] = [0, 1, 0x08, 0x00, 6, 4, 0, 2];

/// The UDP payload of a frame that a DHCP client sent from `mac`.
pub fn dhcp_request(frame: &[u8], mac: MacAddress) -> Option<&[u8]> {
    let packet = payload(frame, mac, TYPE_IPV4)?;
    let header = usize::from(*packet.first()? & 0x0f) * 4;
    let version = *packet.first()? >> 4;
    let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
    if version != 4 || header < IPV4 || fragment != 0 || *packet.get(9)? != PROTOCOL_UDP {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let datagram = packet.get(header..total)?;
    let word = |at: usize| Some(u16::from_be_bytes([*datagram.get(at)?, *datagram.get(at + 1)?]));
    if word(0)? != CLIENT_PORT || word(2)? != SERVER_PORT {
        return None;
    }
    datagram.get(UDP..usize::from(word(4)?))
}

/// The address of the guest that asks from `mac` who has `wanted`.
pub fn arp_request(frame: &[u8], mac: MacAddress, wanted: Ipv4Addr) -> Option<Ipv4Addr> {
    let packet = payload(frame, mac, TYPE_ARP)?;
    let sender: [u8; 4] = packet.get(14..18)?.try_into().ok()?;
    let same = packet.get(..8)? == ARP_REQUEST
        && packet.get(8..14)? == mac.bytes()
        && packet.get(24..28)? == wanted.octets();
    same.then(|| Ipv4Addr::from(sender))
}

/// The answer to [`arp_request`].
pub fn arp_reply(mac: MacAddress, asker: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(mac, TYPE_ARP);
    frame.extend_from_slice(&ARP_REPLY);
    frame.extend_from_slice(&MacAddress::SERVICE.bytes());
    frame.extend_from_slice(&wanted.octets());
    frame.extend_from_slice(&mac.bytes());
    frame.extend_from_slice(&asker.octets());
    frame
}

/// A frame from the DHCP server. Messages are far shorter than 64 KiB; a
/// longer one would be cut off.
pub fn dhcp_reply(message: &[u8], from: Ipv4Addr, to: (MacAddress, Ipv4Addr)) -> Vec<u8> {
    let (mac, to) = to;
    let udp_length = u16::try_from(UDP + message.len()).unwrap_or(u16::MAX);
    let ip_length = udp_length.saturating_add(20);
    let mut ip = vec![0x45, 0];
    ip.extend_from_slice(&ip_length.to_be_bytes());
    ip.extend_from_slice(&[0, 0, 0, 0, 64, PROTOCOL_UDP, 0, 0]);
    ip.extend_from_slice(&from.octets());
    ip.extend_from_slice(&to.octets());
    let sum = checksum(&ip);
    let mut frame = ethernet(mac, TYPE_IPV4);
    frame.extend_from_slice(ip.get(..10).unwrap_or_default());
    frame.extend_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(ip.get(12..).unwrap_or_default());
    frame.extend_from_slice(&SERVER_PORT.to_be_bytes());
    frame.extend_from_slice(&CLIENT_PORT.to_be_bytes());
    frame.extend_from_slice(&udp_length.to_be_bytes());
    // No checksum: optional over IPv4 (RFC 768).
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(message);
    frame
}

fn payload(frame: &[u8], from: MacAddress, kind: [u8; 2]) -> Option<&[u8]> {
    let same = frame.get(6..12)? == from.bytes() && frame.get(12..14)? == kind;
    same.then(|| frame.get(ETHERNET..))?
}

fn ethernet(to: MacAddress, kind: [u8; 2]) -> Vec<u8> {
    let mut frame = to.bytes().to_vec();
    frame.extend_from_slice(&MacAddress::SERVICE.bytes());
    frame.extend_from_slice(&kind);
    frame
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(u16::from_be_bytes([high, 0])),
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
