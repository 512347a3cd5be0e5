//! Taps outlive who has them open, belong to their server's user, and are
//! handed out once.

use suigen_node_daemon::network::ident::LinkName;
use suigen_node_daemon::network::tap::{self, Error, Framing};

use crate::guest::ping;
use crate::lab::{Lab, port};

#[test]
fn kernel_a_tap_outlives_its_qemu_and_is_opened_by_one_at_a_time() {
    let lab = Lab::start();
    let tenant = lab.tenant(1);
    lab.host(&[&tenant]);
    let first = lab.a.plane.attach(&tenant.port_a().uid).unwrap();
    let second = lab.a.plane.attach(&tenant.port_a().uid).unwrap_err();
    assert!(matches!(second, Error::Busy { .. }), "{second}");
    drop(first);
    let (mut a, mut b) = (lab.a.guest(tenant.port_a()), lab.b.guest(tenant.port_b()));
    ping(&mut a, &mut b, b"the next incarnation");
}

#[test]
fn kernel_a_tap_that_is_not_there_is_not_made_by_opening_it() {
    let lab = Lab::start();
    let nobody = LinkName::tap(&port(9, 9).uid);
    let error = tap::attach(lab.a.plane.namespace(), &nobody, Framing::Virtio).unwrap_err();
    assert_eq!(error.reason(), "TapFailed");
    assert!(!lab.a.in_tenants("ip -o link").contains("st-"));
}

#[test]
fn kernel_a_tap_follows_its_servers_user() {
    let lab = Lab::start();
    let mut tenant = lab.tenant(1);
    let owned = |uid: u32| {
        let shown = lab.a.in_tenants("ip -d link show st-0001000a");
        assert!(shown.contains(&format!("user {uid} ")), "{shown}");
    };
    lab.host(&[&tenant]);
    owned(40_001);
    tenant.on_a.ports[0].owner = 40_777;
    lab.a.host_networks(vec![tenant.on_a.clone()]);
    owned(40_777);

    // Not while the old incarnation has it open; it is tried again.
    let open = lab.a.plane.attach(&tenant.port_a().uid).unwrap();
    tenant.on_a.ports[0].owner = 40_888;
    let desired = lab.a.desired(vec![tenant.on_a.clone()]);
    let report = lab.a.reconcile(&desired);
    assert_eq!(report.failures.len(), 1, "{report:?}");
    assert_eq!(report.failures[0].error.reason(), "TapBusy");
    drop(open);
    assert!(lab.a.reconcile(&desired).is_complete());
    owned(40_888);
}
