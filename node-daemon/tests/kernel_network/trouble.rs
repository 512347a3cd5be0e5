//! What stands in the way is named and left alone, and holds up nobody else.

use std::net::UdpSocket;
use std::path::PathBuf;

use suigen_node_daemon::network::apply::Subject;
use suigen_node_daemon::network::dataplane::Report;
use suigen_node_daemon::network::{Config, DataPlane, Desired};
use tokio_util::sync::CancellationToken;

use crate::guest::ping;
use crate::lab::{Lab, Tenant, wait_until};

/// The one thing that failed: its link and reason.
fn failed(report: &Report) -> (String, &'static str) {
    let [failure] = report.failures.as_slice() else { panic!("{report:?}") };
    let Subject::Link(name) = &failure.subject else { panic!("{failure:?}") };
    (name.to_string(), failure.error.reason())
}

/// It is told as long as it is so, also when nothing else changes.
fn fails_again(lab: &Lab, desired: &Desired, message: &str) {
    for _ in 0..3 {
        let report = lab.a.reconcile(desired);
        assert_eq!(failed(&report), ("sx-5001".to_owned(), "TakenBySomebodyElse"));
        assert_eq!(report.failures[0].error.to_string(), message);
        assert_eq!(report.full_reads, 1, "what fails is no cause to read everything");
    }
}

fn talks(lab: &Lab, tenant: &Tenant) {
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"not held up");
}

#[test]
fn kernel_a_vni_that_somebody_else_has_is_named_and_others_go_on() {
    let lab = Lab::start();
    let (one, two) = (lab.tenant(1), lab.tenant(2));
    lab.a.in_host("ip link add theirs type vxlan id 5001 dstport 4789; ip link set theirs up");
    let desired = lab.a.desired(vec![one.on_a.clone(), two.on_a.clone()]);
    let report = lab.a.reconcile(&desired);
    assert_eq!(failed(&report), ("sx-5001".to_owned(), "TakenBySomebodyElse"));
    lab.b.host_networks(vec![one.on_b.clone(), two.on_b.clone()]);
    talks(&lab, &two);
    fails_again(
        &lab,
        &desired,
        "create VXLAN device sx-5001 with VNI 5001 on UDP port 4789: \
         somebody else on this node has it",
    );
    lab.a.in_host("ip link show theirs && ip link delete theirs");
    assert!(lab.a.reconcile(&desired).is_complete());
    talks(&lab, &one);
}

#[test]
fn kernel_a_udp_port_that_somebody_else_has_is_named() {
    let lab = Lab::start();
    let one = lab.tenant(1);
    let theirs = lab.a.host.run(|| UdpSocket::bind("0.0.0.0:4789")).unwrap().unwrap();
    let desired = lab.a.desired(vec![one.on_a.clone()]);
    let report = lab.a.reconcile(&desired);
    assert_eq!(failed(&report), ("sx-5001".to_owned(), "TakenBySomebodyElse"));
    fails_again(
        &lab,
        &desired,
        "set up sx-5001 on UDP port 4789: somebody else on this node has it",
    );
    drop(theirs);
    assert!(lab.a.reconcile(&desired).is_complete());
    lab.b.host_networks(vec![one.on_b.clone()]);
    talks(&lab, &one);
}

#[test]
fn kernel_a_link_that_is_not_ours_is_left_alone() {
    let lab = Lab::start();
    let (one, two) = (lab.tenant(1), lab.tenant(2));
    lab.a.in_tenants("ip link add sg-5001 mtu 1234 type bridge; ip link add other type bridge");
    let desired = lab.a.desired(vec![one.on_a.clone(), two.on_a.clone()]);
    lab.b.host_networks(vec![one.on_b.clone(), two.on_b.clone()]);
    for _ in 0..3 {
        let foreign = lab.a.reconcile(&desired).foreign;
        let names: Vec<&str> = foreign.iter().map(|foreign| foreign.name.as_str()).collect();
        assert_eq!(names, ["sg-5001"]);
        assert_eq!(foreign[0].reason(), "ForeignLink");
    }
    let links = lab.a.in_tenants("ip -o link");
    assert!(links.contains("mtu 1234") && links.contains("other"), "{links}");
    talks(&lab, &two);
    lab.a.in_tenants("ip link delete sg-5001");
    assert!(lab.a.reconcile(&desired).is_complete());
    talks(&lab, &one);
}

#[test]
fn kernel_what_stood_in_the_way_is_noticed_when_it_is_gone() {
    let lab = Lab::start();
    let (one, two) = (lab.tenant(1), lab.tenant(2));
    // One in the node's own namespace, where nobody tells us anything.
    lab.a.in_host("ip link add theirs type vxlan id 5001 dstport 4789; ip link set theirs up");
    lab.a.in_tenants("ip link add sg-5002 type bridge");
    lab.b.host_networks(vec![one.on_b.clone(), two.on_b.clone()]);
    let desired = lab.a.desired(vec![one.on_a.clone(), two.on_a.clone()]);
    let (_feed, wanted) = tokio::sync::watch::channel(desired);
    let (sender, reports) = tokio::sync::watch::channel(Ok(Report::default()));
    let stop = CancellationToken::new();
    let (plane, stopped) = (lab.a.plane.clone(), stop.clone());
    let daemon = lab.a.runtime.spawn(async move { plane.run(wanted, sender, stopped).await });
    let standing = || {
        let report = reports.borrow();
        let report = report.as_ref().unwrap();
        (report.failures.len(), report.foreign.len(), report.indices.len())
    };
    wait_until("both are named", || standing().0 == 1 && standing().1 == 1);
    lab.a.in_host("ip link delete theirs");
    wait_until("the VNI is taken", || standing().0 == 0);
    lab.a.in_tenants("ip link delete sg-5002");
    wait_until("all is there", || standing() == (0, 0, 6));
    talks(&lab, &one);
    talks(&lab, &two);
    stop.cancel();
    lab.a.runtime.block_on(daemon).unwrap().unwrap();
}

#[test]
fn kernel_a_node_without_nft_is_told_so_at_the_start() {
    let lab = Lab::start();
    let directory = tempfile::TempDir::new().unwrap();
    let namespace = directory.path().join("suigen");
    let config = Config { namespace: namespace.clone(), nft: PathBuf::from("/nowhere/nft") };
    let error = lab.a.runtime.block_on(DataPlane::open(&config)).unwrap_err();
    assert_eq!(error.reason(), "NftMissing");
    assert!(!namespace.exists(), "nothing was made");
}
