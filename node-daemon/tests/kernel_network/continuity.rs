//! What goes on while something changes: no frame is lost over a new daemon or
//! an address that moves, and lost notifications are made up for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use suigen_node_daemon::network::desired::{Network, RemotePort};
use suigen_node_daemon::network::ident::MacAddress;

use crate::frames::{contains, ethernet, ipv4, udp};
use crate::guest::{Guest, ping};
use crate::lab::{Lab, port};

/// One frame in so long; a move or a restart takes longer.
const CADENCE: Duration = Duration::from_micros(200);

/// Sends numbered frames for as long as something is done and for some more;
/// gives how many.
fn stream_while(from: &mut Guest, to: &Guest, work: impl FnOnce()) -> u32 {
    let (mac, address, done) = (to.mac, to.address, AtomicBool::new(false));
    let mut count = 0;
    std::thread::scope(|scope| {
        let done = &done;
        let sender = scope.spawn(move || {
            let mut more = 50;
            while more > 0 {
                more -= u32::from(done.load(Ordering::Relaxed));
                let payload = format!("number {count:08}");
                let packet = ipv4(from.address, address, 17, &udp(7, 7, payload.as_bytes()));
                from.send(&ethernet(from.mac, mac, 0x0800, &packet));
                count += 1;
                std::thread::sleep(CADENCE);
            }
            count
        });
        std::thread::sleep(50 * CADENCE);
        work();
        done.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    })
}

/// How many numbered frames arrived, the last of which was to.
fn arrived(at: &mut Guest, count: u32) -> usize {
    let frames = at.hears(format!("number {:08}", count - 1).as_bytes());
    frames.iter().filter(|frame| contains(frame, b"number ")).count()
}

#[test]
fn kernel_no_frame_is_lost_over_a_new_daemon() {
    let mut lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"before");
    let desired = lab.a.desired(vec![tenant.on_a.clone()]);
    let sent = stream_while(&mut a, &b, || {
        for _ in 0..5 {
            lab.a.restart();
            assert_eq!(lab.a.reconcile(&desired).ops, []);
        }
    });
    assert!(sent > 150, "{sent}: the restarts took no time");
    assert_eq!(arrived(&mut b, sent), usize::try_from(sent).unwrap());
}

/// The network as node a sees it: an address of the port 20 here, or at the
/// tap that has another one then, so that it can still be listened to.
fn with_mover(lab: &Lab, here: bool) -> Network {
    let mut mover = port(1, 20);
    let mut network = lab.tenant(1).on_a;
    if !here {
        network.remotes.push(RemotePort { mac: mover.mac, vtep: lab.b.underlay.address });
        mover.mac = MacAddress::new([2, 0, 0, 0, 0, 0x99]);
    }
    network.ports.push(mover);
    network
}

#[test]
fn kernel_an_address_moves_without_a_moment_that_it_is_nowhere() {
    let lab = Lab::start();
    let mut tenant = lab.tenant(1);
    // It is at the node b as well: whichever way a frame goes, it arrives.
    tenant.on_b.ports.push(port(1, 20));
    lab.b.host_networks(vec![tenant.on_b.clone()]);
    lab.a.host_networks(vec![with_mover(&lab, true)]);
    let mut a = lab.a.guest(tenant.port_a());
    let (mut near, mut far) = (lab.a.guest(&port(1, 20)), lab.b.guest(&port(1, 20)));
    ping(&mut a, &mut near, b"before");
    let sent = stream_while(&mut a, &near, || {
        for here in [false, true, false, true, false] {
            lab.a.host_networks(vec![with_mover(&lab, here)]);
            std::thread::sleep(20 * CADENCE);
        }
    });
    let far_count = arrived(&mut far, sent);
    let near_count = near.drain().iter().filter(|frame| contains(frame, b"number ")).count();
    assert!(near_count > 50 && far_count > 50, "{near_count} near, {far_count} far");
    assert_eq!(near_count + far_count, usize::try_from(sent).unwrap());
}

#[test]
fn kernel_lost_notifications_are_made_up_for() {
    let lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let desired = lab.a.desired(vec![tenant.on_a.clone()]);
    let reads = lab.a.reconcile(&desired).full_reads;
    assert_eq!(lab.a.reconcile(&desired).full_reads, reads);
    // More than there is room for, and then what matters.
    lab.a.in_tenants(
        "ip link add noise type bridge; ip link add port type veth peer name other
         ip link set port master noise
         for count in 1 2; do
             seq 0 16383 | while read n; do
                 printf 'fdb replace 02:01:00:00:%02x:%02x dev port master static\n' \
                     $((n / 256)) $((n % 256))
             done | bridge -batch -
             ip link set port nomaster; ip link set port master noise
         done
         bridge fdb delete 02:00:00:00:00:0b dev sx-5001 self",
    );
    let report = lab.a.reconcile(&desired);
    assert_eq!(report.full_reads, reads + 1);
    assert_eq!(report.ops.len(), 1, "{report:?}");
    assert_eq!(lab.a.reconcile(&desired).full_reads, reads + 1);
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"after that");
}
