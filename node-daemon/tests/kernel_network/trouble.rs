//! What stands in the way is named and left alone, and holds up nobody else.

use std::net::UdpSocket;
use std::path::PathBuf;

use suigen_node_daemon::network::apply::Subject;
use suigen_node_daemon::network::dataplane::Report;
use suigen_node_daemon::network::{Config, DataPlane};

use crate::guest::ping;
use crate::lab::{Lab, Tenant};

/// The one thing that failed: its link and reason.
fn failed(report: &Report) -> (String, &'static str) {
    let [failure] = report.failures.as_slice() else { panic!("{report:?}") };
    let Subject::Link(name) = &failure.subject else { panic!("{failure:?}") };
    (name.to_string(), failure.error.reason())
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
    drop(theirs);
    assert!(lab.a.reconcile(&desired).is_complete());
}

#[test]
fn kernel_a_link_that_is_not_ours_is_left_alone() {
    let lab = Lab::start();
    let (one, two) = (lab.tenant(1), lab.tenant(2));
    lab.a.in_tenants("ip link add sg-5001 mtu 1234 type bridge; ip link add other type bridge");
    let report = lab.a.reconcile(&lab.a.desired(vec![one.on_a.clone(), two.on_a.clone()]));
    let foreign: Vec<&str> = report.foreign.iter().map(|foreign| foreign.name.as_str()).collect();
    assert_eq!(foreign, ["sg-5001"]);
    let links = lab.a.in_tenants("ip -o link");
    assert!(links.contains("mtu 1234") && links.contains("other"), "{links}");
    lab.b.host_networks(vec![two.on_b.clone()]);
    talks(&lab, &two);
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
