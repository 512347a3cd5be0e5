use dhcproto::v4::Flags;
use proptest::prelude::*;

use super::*;

const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 10]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn lease() -> Lease {
    Lease {
        address: ADDRESS,
        prefix: 22,
        server: SERVER,
        router: None,
        dns: Vec::new(),
        hostname: "web".to_owned(),
        mtu: 1450,
        seconds: 3600,
    }
}

fn request(kind: MessageType, options: impl IntoIterator<Item = DhcpOption>) -> Message {
    let mut message = Message::default();
    message.set_chaddr(&MAC.bytes());
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    message
}

fn kind(request: &Message) -> Option<MessageType> {
    let (reply, _) = reply(request, MAC, &lease())?;
    match reply.opts().get(OptionCode::MessageType) {
        Some(DhcpOption::MessageType(kind)) => Some(*kind),
        _ => None,
    }
}

#[test]
fn what_is_asked_decides_what_is_answered() {
    use DhcpOption::{RequestedIpAddress, ServerIdentifier};
    let other = Ipv4Addr::new(10, 0, 0, 99);
    assert_eq!(kind(&request(MessageType::Discover, [])), Some(MessageType::Offer));
    assert_eq!(kind(&request(MessageType::Inform, [])), Some(MessageType::Ack));
    let selecting = [RequestedIpAddress(ADDRESS), ServerIdentifier(SERVER)];
    assert_eq!(kind(&request(MessageType::Request, selecting)), Some(MessageType::Ack));
    let wrong = [RequestedIpAddress(other)];
    assert_eq!(kind(&request(MessageType::Request, wrong)), Some(MessageType::Nak));
    let elsewhere = [RequestedIpAddress(ADDRESS), ServerIdentifier(other)];
    assert_eq!(kind(&request(MessageType::Request, elsewhere)), None);
    for silent in [MessageType::Release, MessageType::Decline, MessageType::Offer] {
        assert_eq!(kind(&request(silent, [])), None, "{silent:?}");
    }
}

#[test]
fn a_lease_is_renewed_at_the_address_in_use() {
    let mut renewal = request(MessageType::Request, []);
    renewal.set_ciaddr(ADDRESS);
    let (_, to) = reply(&renewal, MAC, &lease()).unwrap();
    assert_eq!(to, (MAC, ADDRESS));
    renewal.set_ciaddr(Ipv4Addr::new(10, 0, 0, 99));
    assert_eq!(kind(&renewal), Some(MessageType::Nak));
}

#[test]
fn a_guest_that_wants_broadcast_gets_it() {
    let mut discover = request(MessageType::Discover, []);
    assert_eq!(reply(&discover, MAC, &lease()).unwrap().1, (MAC, ADDRESS));
    discover.set_flags(Flags::default().set_broadcast());
    let everybody = (MacAddress::BROADCAST, Ipv4Addr::BROADCAST);
    assert_eq!(reply(&discover, MAC, &lease()).unwrap().1, everybody);
}

#[test]
fn nobody_is_answered_for_another_card_nor_through_a_relay() {
    let mut other = request(MessageType::Discover, []);
    other.set_chaddr(&[2, 0, 0, 0, 0, 11]);
    assert_eq!(kind(&other), None);
    let mut relayed = request(MessageType::Discover, []);
    relayed.set_giaddr(Ipv4Addr::new(10, 0, 0, 5));
    assert_eq!(kind(&relayed), None);
}

#[test]
fn a_guest_that_lies_about_its_addresss_length_is_not_answered() {
    let mut bytes = frame(&request(MessageType::Discover, []));
    assert!(answer(&bytes, MAC, &lease()).is_some());
    // `hlen`: the third byte of the message.
    bytes[14 + 20 + 8 + 2] = 66;
    assert_eq!(answer(&bytes, MAC, &lease()), None);
}

#[test]
fn an_answer_tells_the_whole_lease() {
    let (reply, _) = reply(&request(MessageType::Discover, []), MAC, &lease()).unwrap();
    let mut options: Vec<String> =
        reply.opts().iter().map(|(_, option)| format!("{option:?}")).collect();
    options.sort();
    insta::assert_snapshot!(options.join("\n"), @r#"
    AddressLeaseTime(3600)
    Hostname("web")
    InterfaceMtu(1450)
    MessageType(Offer)
    ServerIdentifier(10.0.0.1)
    SubnetMask(255.255.252.0)
    "#);
}

#[test]
fn prefixes_become_masks() {
    assert_eq!(mask(0), Ipv4Addr::UNSPECIFIED);
    assert_eq!(mask(22), Ipv4Addr::new(255, 255, 252, 0));
    assert_eq!(mask(32), Ipv4Addr::BROADCAST);
}

/// A frame as a client sends it.
fn frame(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    let length = u16::try_from(28 + bytes.len()).unwrap().to_be_bytes();
    let udp_length = u16::try_from(8 + bytes.len()).unwrap().to_be_bytes();
    let mut frame = vec![0xff; 6];
    frame.extend(MAC.bytes());
    frame.extend([8, 0, 0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([0, 0, 0, 0, 255, 255, 255, 255]);
    frame.extend([0, 68, 0, 67, udp_length[0], udp_length[1], 0, 0]);
    frame.extend(bytes);
    frame
}

#[test]
fn the_header_of_an_answer_has_a_right_checksum() {
    let answer = answer(&frame(&request(MessageType::Discover, [])), MAC, &lease()).unwrap();
    let header = &answer[14..34];
    let sum: u32 =
        header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    assert_eq!(answer.len(), 14 + 20 + 8 + BOOTP_MIN, "padded to what BOOTP demands");
}

proptest! {
    #[test]
    fn no_bytes_of_a_guest_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = answer(&bytes, MAC, &lease());
    }

    /// Starts from a good frame, so that the inner parsers are reached.
    #[test]
    fn no_change_of_a_good_frame_does_harm(
        changes in prop::collection::vec((0_usize..400, any::<u8>()), 0..8),
        length in 0_usize..400,
    ) {
        let mut bytes = frame(&request(MessageType::Discover, []));
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length);
        let _ = answer(&bytes, MAC, &lease());
    }
}
