//! DHCP is answered at the tap, to this guest only.

use std::net::Ipv4Addr;

use suigen_node_daemon::network::dataplane::Report;
use suigen_node_daemon::network::dhcp::Lease;
use suigen_node_daemon::network::ident::MacAddress;
use tokio_util::sync::CancellationToken;

use crate::frames::{self, BROADCAST, contains, ethernet};
use crate::guest::{Guest, PATIENCE};
use crate::lab::{Lab, wait_until};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn lease(address: Ipv4Addr) -> Lease {
    Lease {
        address,
        prefix: 24,
        server: SERVER,
        router: Some(SERVER),
        dns: vec![Ipv4Addr::new(10, 0, 0, 2)],
        hostname: "guest-a".to_owned(),
        mtu: 1450,
        seconds: 3600,
    }
}

/// A client's message (RFC 2131), byte by byte.
fn request(guest: &Guest, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x80, 0];
    message.extend([0; 16]);
    message.extend(guest.mac.bytes());
    message.extend([0; 10 + 64 + 128]);
    message.extend([99, 130, 83, 99, 53, 1, kind]);
    message.extend(options);
    message.push(255);
    let datagram = frames::udp(68, 67, &message);
    let packet = frames::ipv4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, 17, &datagram);
    ethernet(guest.mac, BROADCAST, 0x0800, &packet)
}

/// The next answer to a client on this guest: who sent it, and the message.
fn answer(guest: &mut Guest) -> (MacAddress, Vec<u8>) {
    let is_answer = |frame: &[u8]| {
        frame.get(12..14) == Some(&[8, 0]) && frame.get(34..38) == Some(&[0, 67, 0, 68])
    };
    let frame = guest.until("a DHCP answer", is_answer).pop().unwrap();
    (MacAddress::new(frame[6..12].try_into().unwrap()), frame[42..].to_vec())
}

/// Whether a message has an option with a value.
fn says(message: &[u8], code: u8, value: &[u8]) -> bool {
    let mut rest = &message[240..];
    while let [found, length, values @ ..] = rest
        && *found != 255
    {
        let (found_value, after) = values.split_at(usize::from(*length));
        if *found == code {
            return found_value == value;
        }
        rest = after;
    }
    false
}

#[test]
fn kernel_dhcp_is_answered_at_the_tap_and_nowhere_else() {
    let lab = Lab::start();
    let mut tenant = lab.tenant(1);
    tenant.on_a.ports[0].lease = Some(lease(Ipv4Addr::new(10, 0, 0, 10)));
    lab.host(&[&tenant]);
    let (_feed, wanted) = tokio::sync::watch::channel(lab.a.desired(vec![tenant.on_a.clone()]));
    let (reports, mut reported) = tokio::sync::watch::channel(Ok(Report::default()));
    reported.mark_unchanged();
    let stop = CancellationToken::new();
    let (plane, stopped) = (lab.a.plane.clone(), stop.clone());
    let daemon = lab.a.runtime.spawn(async move { plane.run(wanted, reports, stopped).await });
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    lab.a
        .runtime
        .block_on(async { tokio::time::timeout(PATIENCE, reported.changed()).await })
        .unwrap()
        .unwrap();
    // The responder begins after the first report.
    wait_until("the responder listens", || {
        lab.a.in_tenants("cat /proc/net/packet").lines().count() > 1
    });

    a.send(&frames::tagged(&request(&a, 1, &[]), 0x8100, 3));
    a.send(&request(&a, 1, &[55, 3, 1, 3, 26]));
    let (from, offer) = answer(&mut a);
    assert_eq!(from, MacAddress::SERVICE);
    assert!(says(&offer, 53, &[2]), "an offer");
    assert_eq!(offer[16..20], a.address.octets());
    assert!(says(&offer, 26, &1450_u16.to_be_bytes()), "the MTU");

    a.send(&request(&a, 3, &[50, 4, 10, 0, 0, 10, 54, 4, 10, 0, 0, 1]));
    let (_, ack) = answer(&mut a);
    // Had the tagged request been answered, this would be its answer.
    assert!(says(&ack, 53, &[5]), "yes");
    assert!(says(&ack, 12, b"guest-a"), "the host name");

    a.send(&request(&a, 3, &[50, 4, 10, 0, 0, 99]));
    let (_, nak) = answer(&mut a);
    assert!(says(&nak, 53, &[6]), "no");

    // ARP for the server, so that a lease can be renewed without broadcast.
    let who = frames::arp(1, (a.mac, a.address), (MacAddress::ZERO, SERVER));
    a.send(&ethernet(a.mac, BROADCAST, 0x0806, &who));
    let reply = frames::arp(2, (MacAddress::SERVICE, SERVER), (a.mac, a.address));
    a.until("the server's ARP reply", |frame| contains(frame, &reply));

    // The other guest heard nothing of it, and is not answered itself.
    b.send(&request(&b, 1, &[]));
    a.say((BROADCAST, Ipv4Addr::BROADCAST), b"marker for b");
    let heard = b.hears(b"marker for b");
    assert!(!heard.iter().any(|frame| contains(frame, &[99, 130, 83, 99])));
    assert!(!a.drain().iter().any(|frame| contains(frame, &[99, 130, 83, 99])));

    stop.cancel();
    lab.a.runtime.block_on(daemon).unwrap().unwrap();
    let listening = lab.a.in_tenants("cat /proc/net/packet");
    assert_eq!(listening.lines().count(), 1, "{listening}");
}

#[test]
fn kernel_dhcp_is_answered_again_on_a_tap_that_was_made_anew() {
    let lab = Lab::start();
    let mut tenant = lab.tenant(1);
    tenant.on_a.ports[0].lease = Some(lease(Ipv4Addr::new(10, 0, 0, 10)));
    lab.a.host_networks(vec![tenant.on_a.clone()]);
    let (_feed, wanted) = tokio::sync::watch::channel(lab.a.desired(vec![tenant.on_a.clone()]));
    let (reports, _) = tokio::sync::watch::channel(Ok(Report::default()));
    let stop = CancellationToken::new();
    let (plane, stopped) = (lab.a.plane.clone(), stop.clone());
    let daemon = lab.a.runtime.spawn(async move { plane.run(wanted, reports, stopped).await });
    let index = || lab.a.in_tenants("ip -o link show st-0001000a | cut -d: -f1");
    let before = index();
    lab.a.in_tenants("ip link delete st-0001000a");
    wait_until("the tap is made anew", || {
        lab.a.in_tenants("ip -o link").contains("st-0001000a") && index() != before
    });
    let mut a = lab.a.guest(tenant.port_a());
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        a.send(&request(&a, 1, &[]));
        std::thread::sleep(std::time::Duration::from_millis(100));
        if a.drain().iter().any(|frame| contains(frame, b"guest-a")) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no answer on the new tap");
    }
    stop.cancel();
    lab.a.runtime.block_on(daemon).unwrap().unwrap();
}
