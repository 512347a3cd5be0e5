//! The feed, told in memory what watches would tell, on the real kernel.

use std::time::Duration;

use serde_json::json;
use suigen_crds::hypervisor::FeatureState;
use suigen_crds::network_port::PortState;
use suigen_node_daemon::api::watch::Seen;
use suigen_node_daemon::network::feed::Input;

use crate::feed_node::{Scene, TAP, object, port, port_object, terminating, uid};
use crate::lab::{shell, wait_until};

#[test]
fn kernel_a_port_is_served_from_its_objects_to_its_end() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    daemon.list_all();
    let attached = daemon.attach(1).unwrap();
    assert_eq!((attached[0].name.as_str(), attached[0].mtu), ("eth0", 1450));
    assert_eq!(daemon.attach(2).unwrap_err(), "PortNotBound");
    let ability = daemon.able.borrow().clone().unwrap();
    assert_eq!(ability.underlay.unwrap().mtu, 1600);
    assert!(ability.features.iter().all(|feature| feature.state == FeatureState::Present));
    let fdb = scene.in_tenants("bridge fdb show dev sx-5001");
    assert!(fdb.contains("02:00:00:00:00:0b dst 192.0.2.2"), "{fdb}");

    // The server is deleted, its guest still runs.
    scene.residents.lock().unwrap().insert(uid(0x8a));
    daemon.tell(Input::Mine(object(terminating(10))));
    daemon.networks.left(&uid(0x8a));
    std::thread::sleep(Duration::from_millis(500));
    assert!(scene.links().contains(TAP));
    assert_eq!(daemon.says(10), None);
    drop(attached);
    scene.residents.lock().unwrap().clear();
    daemon.networks.left(&uid(0x8a));
    wait_until("the port is reported", || daemon.says(10) == Some(PortState::Removed));
    let links = scene.links();
    assert!(!links.contains(TAP) && links.contains("sg-5001"), "{links}");
}

#[test]
fn kernel_a_restart_without_the_api_changes_nothing() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    daemon.list_all();
    let guest = daemon.attach(1).unwrap();
    scene.wait_for_carrier();
    daemon.end();
    let before = scene.links();
    let mut again = None;
    let changes = scene.changes(|| {
        let daemon = scene.daemon();
        wait_until("the node was looked at", || daemon.able.borrow().is_some());
        std::thread::sleep(Duration::from_millis(700));
        again = Some(daemon);
    });
    assert_eq!(changes, "");
    let daemon = again.unwrap();
    // The API comes back, and the port is not in its list: no proof.
    daemon.list_mine(vec![]);
    wait_until("the port is asked for", || daemon.asks().confirm.contains_key(&uid(10)));
    assert_eq!(scene.links(), before);
    daemon.tell(Input::Confirmed(uid(10), None));
    wait_until("the tap is gone", || !scene.links().contains(TAP));
    drop(guest);
}

#[test]
fn kernel_without_facts_nothing_is_torn_down_before_all_was_listed() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    daemon.list_all();
    let guest = daemon.attach(1).unwrap();
    scene.wait_for_carrier();
    daemon.end();
    std::fs::write(scene.kept(), "{ spoiled").unwrap();
    let before = scene.links();
    let daemon = scene.daemon();
    daemon.tell(Input::Mine(Seen::Listing));
    daemon.tell(Input::Hypervisor(Seen::Listing));
    daemon.tell(Input::Hypervisor(Seen::Listed));
    wait_until("the node was looked at", || daemon.able.borrow().is_some());
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(scene.links(), before);
    assert!(scene.path("network/desired.unreadable").exists());
    // Now it is known that there is nothing.
    daemon.list_mine(vec![]);
    wait_until("all is gone", || !scene.links().contains("5001"));
    drop(guest);
}

#[test]
fn kernel_what_somebody_else_has_is_reported_and_taken_back() {
    let scene = Scene::new();
    shell(&scene.host, "ip link add theirs type vxlan id 5001 dstport 4789; ip link set theirs up");
    let daemon = scene.daemon();
    daemon.list_all();
    assert_eq!(daemon.attach(1).unwrap_err(), "TakenBySomebodyElse");
    wait_until("trouble is reported", || daemon.says(10) == Some(PortState::Failed));
    let (_, status) = daemon.asks().reports[&uid(10)].clone();
    assert!(status.message.as_ref().unwrap().contains("sx-5001"), "{status:?}");
    let mut port = port_object(10, "node-a", 1);
    port["status"] = json!(status);
    daemon.tell(Input::Mine(object(serde_json::from_value(port).unwrap())));
    wait_until("it is said once", || daemon.says(10).is_none());
    shell(&scene.host, "ip link delete theirs");
    wait_until("it is taken back", || daemon.says(10) == Some(PortState::Ready));
    drop(daemon.attach(1).unwrap());
}

#[test]
fn kernel_a_network_goes_at_once_when_its_vni_is_released() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    daemon.list_all();
    let guest = daemon.attach(1).unwrap();
    // The port goes elsewhere; what is left of the network stays for a while.
    daemon.tell(Input::Mine(object(port(10, "node-b", 2))));
    wait_until("the tap is gone", || !scene.links().contains(TAP));
    drop(guest);
    let fdb = scene.in_tenants("bridge fdb show dev sx-5001");
    assert!(fdb.contains("02:00:00:00:00:0a dst 192.0.2.2"), "{fdb}");
    daemon.tell(Input::Mine(Seen::Left { uid: Some(uid(10).to_string()) }));
    let segment = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "NetworkSegment",
        "metadata": {"name": "vni-5001", "uid": uid(0x50)},
        "spec": {"vni": 5001,
            "network": {"namespace": "acme", "name": "web", "uid": uid(0x40)}},
        "status": {"phase": "Releasing", "hosts": ["node-a"],
            "releasedAt": "2026-01-01T00:00:00Z"},
    });
    daemon.tell(Input::Segment(object(serde_json::from_value(segment).unwrap())));
    wait_until("it is said", || daemon.asks().torn_down.contains_key(&uid(0x50)));
    assert!(!scene.links().contains("5001"));
    assert!(daemon.asks().namespaces.is_empty());
}
