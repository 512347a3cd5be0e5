use proptest::prelude::*;

use super::message::LEAST;
use super::*;

const MAC: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 10]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Ethernet, IPv4, UDP.
const HEADERS: usize = 14 + 20 + 8;

fn lease() -> Lease {
    Lease {
        address: ADDRESS,
        prefix: 22,
        server: SERVER,
        router: None,
        dns: vec![OTHER, SERVER],
        hostname: "web".to_owned(),
        mtu: 1450,
        seconds: 3600,
    }
}

fn request(asked: Asked) -> Request {
    Request {
        xid: [1, 2, 3, 4],
        flags: [0, 0],
        ciaddr: Ipv4Addr::UNSPECIFIED,
        asked,
        requested: None,
        server: None,
    }
}

/// A DISCOVER as a client sends it, byte by byte.
fn frame() -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.extend([0; 20]);
    message.extend(MAC.bytes());
    message.extend([0; 10 + 64 + 128]);
    message.extend([99, 130, 83, 99, 53, 1, 1, 50, 4, 10, 0, 0, 10, 255]);
    let length = u16::try_from(28 + message.len()).unwrap().to_be_bytes();
    let udp_length = u16::try_from(8 + message.len()).unwrap().to_be_bytes();
    let mut frame = vec![0xff; 6];
    frame.extend(MAC.bytes());
    frame.extend([8, 0, 0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([0, 0, 0, 0, 255, 255, 255, 255]);
    frame.extend([0, 68, 0, 67, udp_length[0], udp_length[1], 0, 0]);
    frame.extend(message);
    frame
}

#[test]
fn what_is_asked_decides_what_is_answered() {
    let answers = |requested, server| {
        let request = Request { requested, server, ..request(Asked::Request) };
        verdict(&request, &lease())
    };
    assert_eq!(verdict(&request(Asked::Discover), &lease()), Some(Verdict::Offer));
    assert_eq!(verdict(&request(Asked::Inform), &lease()), Some(Verdict::Ack));
    assert_eq!(answers(Some(ADDRESS), Some(SERVER)), Some(Verdict::Ack));
    assert_eq!(answers(Some(ADDRESS), None), Some(Verdict::Ack));
    assert_eq!(answers(Some(OTHER), None), Some(Verdict::Nak));
    assert_eq!(answers(None, None), Some(Verdict::Nak));
    assert_eq!(answers(Some(ADDRESS), Some(OTHER)), None);
}

#[test]
fn a_lease_is_renewed_at_the_address_in_use() {
    let renewal = |ciaddr| Request { ciaddr, ..request(Asked::Request) };
    assert_eq!(verdict(&renewal(ADDRESS), &lease()), Some(Verdict::Ack));
    assert_eq!(verdict(&renewal(OTHER), &lease()), Some(Verdict::Nak));
    let to = destination(&renewal(ADDRESS), Verdict::Ack, MAC, &lease());
    assert_eq!(to, (MAC, ADDRESS));
}

#[test]
fn a_guest_that_wants_broadcast_gets_it_and_a_refusal_always_is() {
    let everybody = (MacAddress::BROADCAST, Ipv4Addr::BROADCAST);
    let mut discover = request(Asked::Discover);
    assert_eq!(destination(&discover, Verdict::Offer, MAC, &lease()), (MAC, ADDRESS));
    assert_eq!(destination(&discover, Verdict::Nak, MAC, &lease()), everybody);
    discover.flags = [0x80, 0];
    assert_eq!(destination(&discover, Verdict::Offer, MAC, &lease()), everybody);
}

#[test]
fn only_a_whole_request_of_this_card_is_read() {
    assert!(answer(&frame(), MAC, &lease()).is_some());
    for (what, at, value) in [
        ("a reply", 0, 2),
        ("another kind of link", 1, 6),
        ("a lie about the address's length", 2, 66),
        ("a relay's", 24, 10),
        ("another card's", 28 + 5, 11),
        ("no cookie", 236, 0),
        ("a kind that needs no answer", 242, 7),
        ("a kind that does not fit its option", 241, 9),
    ] {
        let mut bytes = frame();
        bytes[HEADERS + at] = value;
        assert_eq!(answer(&bytes, MAC, &lease()), None, "{what}");
    }
    let other = MacAddress::new([2, 0, 0, 0, 0, 11]);
    assert_eq!(answer(&frame(), other, &lease()), None);
}

/// The options of an answer, read by other code than wrote them.
fn options(message: &[u8]) -> Vec<String> {
    let mut rest = &message[240..];
    let mut found = Vec::new();
    while rest[0] != 255 {
        let end = 2 + usize::from(rest[1]);
        found.push(format!("{:>3}: {:?}", rest[0], &rest[2..end]));
        rest = &rest[end..];
    }
    found
}

#[test]
fn an_answer_tells_the_whole_lease() {
    let answer = answer(&frame(), MAC, &lease()).unwrap();
    let message = &answer[HEADERS..];
    assert_eq!(message.len(), LEAST, "padded to what BOOTP demands");
    assert_eq!(message[..8], [2, 1, 6, 0, 1, 2, 3, 4]);
    assert_eq!(message[16..20], ADDRESS.octets());
    assert_eq!(message[28..34], MAC.bytes());
    insta::assert_snapshot!(options(message).join("\n"), @"
     53: [2]
     54: [10, 0, 0, 1]
     51: [0, 0, 14, 16]
      1: [255, 255, 252, 0]
      6: [10, 0, 0, 99, 10, 0, 0, 1]
     12: [119, 101, 98]
     26: [5, 170]
    ");
}

#[test]
fn who_informs_itself_is_given_no_address_and_who_is_refused_nothing() {
    let informed = reply(&request(Asked::Inform), Verdict::Ack, MAC, &lease());
    assert_eq!(informed[16..20], [0; 4]);
    assert!(!options(&informed).iter().any(|option| option.starts_with(" 51")));
    let refused = reply(&request(Asked::Request), Verdict::Nak, MAC, &lease());
    assert_eq!(options(&refused), [" 53: [6]", " 54: [10, 0, 0, 1]"]);
}

#[test]
fn prefixes_become_masks() {
    assert_eq!(mask(0), Ipv4Addr::UNSPECIFIED);
    assert_eq!(mask(22), Ipv4Addr::new(255, 255, 252, 0));
    assert_eq!(mask(32), Ipv4Addr::BROADCAST);
}

#[test]
fn the_header_of_an_answer_has_a_right_checksum() {
    let answer = answer(&frame(), MAC, &lease()).unwrap();
    let header = &answer[14..34];
    let sum: u32 =
        header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
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
        let mut bytes = frame();
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length);
        let _ = answer(&bytes, MAC, &lease());
    }
}
