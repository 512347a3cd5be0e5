//! What somebody changes is put right; where nothing changed, nothing is sent.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use suigen_node_daemon::network::Desired;
use suigen_node_daemon::network::dataplane::Report;
use suigen_node_daemon::network::diff::{self, Op};
use suigen_node_daemon::network::netlink::netns::Namespace;
use suigen_node_daemon::network::topology::Topology;
use suigen_node_daemon::network::watch::Watch;
use tokio_util::sync::CancellationToken;

use crate::guest::{PATIENCE, ping};
use crate::lab::{Lab, Node, wait_until};

/// Long enough for a notification on a busy machine.
const QUIET: Duration = Duration::from_millis(500);

/// What would be done now.
fn pending(node: &Node, desired: &Desired) -> Vec<Op> {
    let observed = node.runtime.block_on(node.plane.observe()).unwrap();
    diff::plan(&observed, &Topology::of(desired)).ops
}

/// What the kernel told of changes adds up to what it holds.
fn assert_told(node: &Node, change: &str) {
    let known = node.runtime.block_on(node.plane.known()).unwrap();
    let read = node.runtime.block_on(node.plane.observe()).unwrap();
    assert_eq!(known, read, "after {change}");
}

/// Ways to spoil things on the node a, which has the tap st-0001000a.
const DAMAGE: &[&str] = &[
    "ip link delete sg-5001",
    "ip link delete sx-5001",
    "ip link delete st-0001000a",
    "ip link delete sg-5001; ip link delete sx-5001; nft delete table bridge suigen",
    "ip link set sg-5001 down",
    "ip link set st-0001000a nomaster",
    "ip link set sx-5001 mtu 1400",
    "ip link set st-0001000a alias mine",
    "ip link set st-0001000a address 02:00:00:00:00:01",
    "bridge link set dev st-0001000a locked off",
    "bridge link set dev st-0001000a learning on flood on",
    "bridge link set dev sx-5001 flood on",
    "bridge fdb delete 02:00:00:00:00:0a dev st-0001000a master",
    "bridge fdb delete 02:00:00:00:00:0b dev sx-5001 master",
    "bridge fdb delete 02:00:00:00:00:0b dev sx-5001 self",
    "bridge fdb replace 02:00:00:00:00:0b dev sx-5001 self dst 192.0.2.77",
    "bridge fdb replace 02:00:00:00:00:0b dev st-0001000a master static",
    "bridge fdb add 02:00:00:00:00:55 dev st-0001000a master static",
    "bridge fdb add 02:00:00:00:00:55 dev sx-5001 master dynamic",
    "bridge fdb add 02:00:00:00:00:55 dev sx-5001 self dst 192.0.2.2",
    "bridge fdb delete 00:00:00:00:00:00 dev sx-5001 self dst 192.0.2.2",
    "bridge fdb append 00:00:00:00:00:00 dev sx-5001 self dst 192.0.2.77",
    "nft delete table bridge suigen",
    "nft flush set bridge suigen port_mac",
    "nft delete element bridge suigen port_ipv4 { st-0001000a . 10.0.0.10 }",
    "nft add element bridge suigen port_ipv4 { st-0001000a . 10.0.0.66 }",
    "nft flush chain bridge suigen from_port_ipv4",
    "nft insert rule bridge suigen from_port accept",
    "nft add set bridge suigen extra '{ type ipv4_addr; }'",
];

#[test]
fn kernel_drift_of_any_kind_is_seen_and_put_right() {
    let lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let desired = lab.a.desired(vec![tenant.on_a.clone()]);
    for damage in DAMAGE {
        assert_eq!(pending(&lab.a, &desired), [], "before {damage}");
        lab.a.in_tenants(damage);
        assert_ne!(pending(&lab.a, &desired), [], "unnoticed: {damage}");
        assert_told(&lab.a, damage);
        let report = lab.a.reconcile(&desired);
        assert!(report.is_complete(), "{damage}: {report:?}");
        assert_eq!(report.full_reads, 1, "{damage}: everything was read again");
        assert_eq!(pending(&lab.a, &desired), [], "after {damage}");
        assert_told(&lab.a, "what puts it right");
    }
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"after all that");
}

#[test]
fn kernel_drift_is_put_right_within_seconds_and_guests_talk_on() {
    let lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"before");
    let desired = lab.a.desired(vec![tenant.on_a.clone()]);
    let (feed, wanted) = tokio::sync::watch::channel(desired.clone());
    let (reports, _) = tokio::sync::watch::channel(Ok(Report::default()));
    let stop = CancellationToken::new();
    let (plane, stopped) = (lab.a.plane.clone(), stop.clone());
    let daemon = lab.a.runtime.spawn(async move { plane.run(wanted, reports, stopped).await });
    // As when the API server is away: nobody says anything new.
    drop(feed);
    for damage in [
        "ip link delete sg-5001",
        "bridge fdb delete 02:00:00:00:00:0b dev sx-5001 self",
        "nft flush set bridge suigen port_mac",
    ] {
        let begun = Instant::now();
        lab.a.in_tenants(damage);
        wait_until(damage, || pending(&lab.a, &desired).is_empty());
        assert!(begun.elapsed() < Duration::from_secs(5), "{damage}: {:?}", begun.elapsed());
        let forwards = || lab.a.in_tenants("bridge link show dev st-0001000a");
        wait_until("the port forwards", || forwards().contains("state forwarding"));
        ping(&mut a, &mut b, damage.as_bytes());
    }
    stop.cancel();
    lab.a.runtime.block_on(daemon).unwrap().unwrap();
}

#[test]
fn kernel_applying_again_and_a_new_daemon_cause_no_event() {
    let mut lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"before");
    let desired = lab.a.desired(vec![tenant.on_a.clone()]);
    let watch = {
        let _inside = lab.a.runtime.enter();
        Watch::begin(lab.a.plane.namespace()).unwrap()
    };
    let eventful = |node: &Node, within: Duration| {
        let changed = async { tokio::time::timeout(within, watch.changed()).await };
        node.runtime.block_on(changed).is_ok_and(|changed| !changed.unwrap().is_empty())
    };
    while eventful(&lab.a, QUIET) {}

    assert_eq!(lab.a.reconcile(&desired).ops, []);
    lab.a.restart();
    assert_eq!(lab.a.reconcile(&desired).ops, []);
    assert!(!eventful(&lab.a, QUIET), "something was sent to the kernel");
    ping(&mut a, &mut b, b"after");

    // Each kind of change would have been seen.
    for change in [
        "ip link set sg-5001 alias x",
        "bridge fdb add 02:00:00:00:00:55 dev sx-5001 master static",
        "nft flush set bridge suigen port_mac",
    ] {
        lab.a.in_tenants(change);
        assert!(eventful(&lab.a, PATIENCE), "{change}");
        while eventful(&lab.a, QUIET) {}
    }
}

#[test]
fn kernel_teardown_leaves_nothing() {
    let lab = Lab::start();
    let (one, two) = (lab.tenant(1), lab.tenant(2));
    lab.host(&[&one, &two]);
    lab.a.host_networks(vec![one.on_a.clone()]);
    let links = lab.a.in_tenants("ip -o link");
    assert!(!links.contains("5002") && !links.contains("st-0002"), "{links}");
    assert!(links.contains("sg-5001"), "{links}");

    let report = lab.a.reconcile(&Desired::nothing(lab.a.underlay));
    assert!(report.is_complete(), "{report:?}");
    let links = lab.a.in_tenants("ip -o link");
    assert_eq!(links.lines().count(), 1, "only the loopback is left: {links}");
    let rules = lab.a.in_tenants("nft list ruleset");
    assert!(!rules.contains("elements"), "{rules}");
    // The host's side of the tunnels is gone too.
    lab.a.in_host("ip link add again type vxlan id 5001 dstport 4789 && ip link del again");
}

/// What is done to links is told by the kernel in different ways, and to the
/// runtime a moment later.
#[test]
fn kernel_what_was_just_made_is_known_at_once() {
    let lab = Lab::start();
    let mut networks = Vec::new();
    for number in 1..=60 {
        networks.push(lab.tenant(number).on_a);
        let desired = lab.a.desired(networks.clone());
        let first = lab.a.reconcile(&desired);
        assert!(first.is_complete(), "{number}: {first:?}");
        assert_eq!(first.indices.len(), 3 * networks.len(), "{number}");
        let second = lab.a.reconcile(&desired);
        assert!(second.is_complete(), "{number}: {second:?}");
        assert_eq!(second.ops, [], "{number}");
        assert_eq!(second.full_reads, 1, "{number}");
    }
    assert_told(&lab.a, "sixty networks");
}

/// Gives the namespace up, also when the test fails.
struct Unbound(PathBuf);

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = Namespace::unbind(&self.0);
    }
}

#[test]
fn kernel_the_namespace_is_found_again_and_can_be_given_up() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("suigen");
    let _guard = Unbound(path.clone());
    let first = Namespace::ensure(&path).unwrap();
    crate::lab::shell(&first, "ip link add mark type bridge");
    drop(first);
    let again = Namespace::ensure(&path).unwrap();
    assert!(crate::lab::shell(&again, "ip -o link").contains("mark"));
    let settings = "cat /proc/sys/net/ipv6/conf/default/disable_ipv6 /proc/sys/net/ipv4/ip_forward";
    assert_eq!(crate::lab::shell(&again, settings), "1\n0\n");
    Namespace::unbind(&path).unwrap();
    assert!(!path.exists());
    // May be called again.
    Namespace::unbind(&path).unwrap();
}
