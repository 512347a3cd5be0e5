//! What a guest sends to many is limited: it is copied to every node of its
//! network.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use suigen_node_daemon::network::ident::MacAddress;
use suigen_node_daemon::network::rules::TO_MANY;

use crate::capture::Capture;
use crate::frames::{self, BROADCAST, contains, ethernet};
use crate::guest::{Guest, ping};
use crate::lab::{Lab, port};

const MARKER: &[u8] = b"to everybody, again";
const MULTICAST: MacAddress = MacAddress::new([1, 0, 0x5e, 0, 0, 9]);
/// Many times what may pass.
const FLOOD: usize = 20_000;

/// UDP to many, and ARP.
fn floods(from: &Guest) -> [Vec<u8>; 3] {
    let broadcast = Ipv4Addr::new(10, 0, 0, 255);
    let packet = frames::ipv4(from.address, broadcast, 17, &frames::udp(7, 7, MARKER));
    let nobody = (MacAddress::ZERO, Ipv4Addr::new(10, 0, 0, 99));
    let mut question = frames::arp(1, (from.mac, from.address), nobody);
    question.extend(MARKER);
    [
        ethernet(from.mac, BROADCAST, 0x0800, &packet),
        ethernet(from.mac, MULTICAST, 0x0800, &packet),
        ethernet(from.mac, BROADCAST, 0x0806, &question),
    ]
}

/// Sends as fast as it can, for a second at least; tells how long it took.
fn flood(guest: &mut Guest, frame: &[u8]) -> Duration {
    let begun = Instant::now();
    let mut sent = 0;
    while sent < FLOOD || begun.elapsed() < Duration::from_secs(1) {
        guest.send(frame);
        sent += 1;
    }
    begun.elapsed()
}

/// The most that may have passed in some time, with a burst at its begin.
fn allowed(time: Duration) -> usize {
    let seconds = usize::try_from(time.as_secs()).unwrap() + 1;
    usize::try_from(TO_MANY).unwrap() * (seconds + 2)
}

#[test]
fn kernel_a_flooding_guest_does_not_flood_the_tunnel_and_others_are_found() {
    let lab = Lab::start();
    let neighbour = port(1, 12);
    let tenant = lab.tenant(1).with_port_on_a(&neighbour, lab.a.underlay.address);
    lab.host(&[&tenant]);
    let mut flooder = lab.a.guest(tenant.port_a());
    let (mut near, mut far) = (lab.a.guest(&neighbour), lab.b.guest(tenant.port_b()));
    for frame in floods(&flooder) {
        let uplink = Capture::begin(&lab.a.host);
        let time = flood(&mut flooder, &frame);
        let wire = uplink.take();
        let passed = wire.iter().filter(|seen| contains(&seen.frame, MARKER)).count();
        assert!(passed >= usize::try_from(TO_MANY).unwrap(), "{passed}: it is a limit, not a ban");
        assert!(passed <= allowed(time), "{passed} of {FLOOD} went out in {time:?}");
        ping(&mut near, &mut far, b"the neighbour");
        if !contains(&frame, &[0x08, 0x06, 0, 1]) {
            ping(&mut flooder, &mut far, b"even the one that floods");
        }
        // Until as many may pass at once again.
        std::thread::sleep(Duration::from_secs(2));
    }
}

#[test]
fn kernel_frames_to_one_are_not_limited() {
    let lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"before");
    // Five times the burst; the tap's queue holds 1,000.
    for number in 0..=900_u32 {
        a.say((b.mac, b.address), format!("frame {number:04}").as_bytes());
    }
    let heard = b.hears(b"frame 0900");
    let frames = heard.iter().filter(|frame| contains(frame, b"frame 0")).count();
    assert!(frames > 880, "{frames}");
}
