//! Frames as a guest makes them, written without the code under test.

use std::net::Ipv4Addr;

use suigen_node_daemon::network::ident::MacAddress;

pub const BROADCAST: MacAddress = MacAddress::new([0xff; 6]);

pub fn ethernet(from: MacAddress, to: MacAddress, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = to.bytes().to_vec();
    frame.extend(from.bytes());
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The same frame with a VLAN tag of some kind (0x8100 or 0x88a8).
pub fn tagged(frame: &[u8], kind: u16, vlan: u16) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    tagged.extend(kind.to_be_bytes());
    tagged.extend(vlan.to_be_bytes());
    tagged.extend(&frame[12..]);
    tagged
}

/// An ARP packet: operation, sender, target.
pub fn arp(
    operation: u16,
    sender: (MacAddress, Ipv4Addr),
    target: (MacAddress, Ipv4Addr),
) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(sender.0.bytes());
    packet.extend(sender.1.octets());
    packet.extend(target.0.bytes());
    packet.extend(target.1.octets());
    packet
}

pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = from.to_be_bytes().to_vec();
    datagram.extend(to.to_be_bytes());
    datagram.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// ICMP echo: 8 asks, 0 answers.
pub fn echo(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind, 0, 0, 0, 0, 1, 0, 1];
    packet.extend(payload);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

pub fn contains(frame: &[u8], marker: &[u8]) -> bool {
    frame.windows(marker.len()).any(|window| window == marker)
}
