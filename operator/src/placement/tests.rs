//! What the engine answers, and that it never gives more than there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use suigen_crds::disk::Disk;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::virtual_server::VirtualServer;

use super::fleet::{Sources, count};
use super::ledger::{Ledger, Promise};
use super::*;
use crate::fixtures::{all, disk, hypervisor, placed, said, server};

const GIB: i64 = 1 << 30;

fn node(name: &str) -> NodeName {
    name.to_owned().try_into().unwrap()
}

fn demand(memory: i64) -> Demand {
    Demand {
        resource_type: ResourceType::BestEffort,
        amounts: Amounts { memory_bytes: memory, cpu_millis: 500, disk_bytes: GIB },
        pinned: None,
        avoid: Vec::new(),
        network: None,
    }
}

fn fleet_of(hypervisors: &[Hypervisor], servers: &[VirtualServer], disks: &[Disk]) -> Fleet {
    let arcs = |h: &[Hypervisor]| h.iter().cloned().map(Arc::new).collect::<Vec<_>>();
    count(&Sources {
        hypervisors: &arcs(hypervisors),
        servers: &servers.iter().cloned().map(Arc::new).collect::<Vec<_>>(),
        disks: &disks.iter().cloned().map(Arc::new).collect::<Vec<_>>(),
        promises: Vec::new(),
        blind: BTreeMap::new(),
    })
}

#[test]
fn decide_the_fullest_that_fits_is_taken() {
    let small = json!({"status": {"capacity": {"memoryBytes": 3 * GIB}}});
    let fleet = fleet_of(&[hypervisor("node-a", json!({})), hypervisor("node-b", small)], &[], &[]);
    assert_eq!(place(&fleet, &demand(GIB)).unwrap().node, node("node-b"));
    assert_eq!(place(&fleet, &demand(3 * GIB)).unwrap().node, node("node-a"));
}

#[test]
fn what_counts_and_what_does_not() {
    let free = |servers: &[VirtualServer], disks: &[Disk]| {
        fleet_of(&[hypervisor("node-a", json!({}))], servers, disks).candidates[0].free
    };
    let empty = free(&[], &[]);
    let held = free(&[server(placed(1))], &[]);
    assert_eq!(empty.memory_bytes - held.memory_bytes, GIB + OVERHEAD_BYTES);
    assert_eq!(empty.cpu_millis - held.cpu_millis, 500);
    let deleting = server(all([placed(1), crate::fixtures::deleted()]));
    assert_eq!(free(&[deleting], &[]), held, "counts until it is released");
    assert_eq!(
        free(&[server(all([placed(1), said(1, "Stopped")]))], &[]),
        held,
        "off still counts"
    );
    assert_eq!(free(&[server(all([placed(1), said(1, "Released")]))], &[]), empty);
    assert_eq!(free(&[server(all([placed(1), said(1, "Refused")]))], &[]), empty);
    let pinned = disk(json!({"status": {"nodeName": "node-a"}}));
    assert_eq!(empty.disk_bytes - free(&[], std::slice::from_ref(&pinned)).disk_bytes, GIB);
    let coming = free(&[server(placed(1))], &[disk(json!({}))]);
    assert_eq!(coming.disk_bytes, free(&[server(placed(1))], &[pinned]).disk_bytes);
}

#[test]
fn the_message_says_which_limit_on_which_node() {
    let closed = |with: Value| json!({"status": {"conditions": [with]}});
    let condition = |type_: &str, status: &str| {
        json!({"type": type_, "status": status, "reason": "R", "message": "no KVM",
            "lastTransitionTime": "1970-01-01T00:00:00Z"})
    };
    let hypervisors = [
        hypervisor(
            "node-a",
            json!({"status": {"capacity": {"memoryBytes": 2 * GIB, "cpuMillis": 600}}}),
        ),
        hypervisor("node-b", json!({"spec": {"scheduling": "Disabled"}})),
        hypervisor("node-c", json!({"status": {"features": []}})),
        hypervisor("node-d", closed(condition("Qualified", "False"))),
        hypervisor("node-e", closed(condition("Qualified", "True"))),
        hypervisor("node-f", json!({"status": {"walId": null}})),
        hypervisor("node-g", json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z"}})),
        hypervisor("node-h", json!({"spec": {"scheduling": "SomethingNew"}})),
        hypervisor("node-i", json!({"status": {"capacity": {"localDiskBytes": 1 << 20}}})),
    ];
    let guaranteed = Demand { resource_type: ResourceType::Guaranteed, ..demand(2 * GIB) };
    let refused = place(&fleet_of(&hypervisors, &[], &[]), &guaranteed).unwrap_err();
    let lines = refused.to_string().replace("; ", "\n").replace("room: ", "room:\n");
    insta::assert_snapshot!(lines, @r"
    no hypervisor has room:
    node-a: needs 2 GiB memory, 1 GiB free, needs 500 CPU millis, 100 free
    node-b: scheduling is Disabled
    node-c: lacks cgroup-cpu and cgroup-memory, which a Guaranteed class needs
    node-d: not qualified (no KVM)
    node-e: its node-daemon was not heard of lately
    node-f: its node-daemon has not yet reported its log and capacity
    node-g: its Hypervisor is being deleted
    node-h: scheduling is Disabled
    node-i: needs 1 GiB of local disk, 1 MiB free
    ");
}

#[test]
fn an_interface_needs_features_and_a_tunnel_that_carries_it() {
    let features = |names: &[&str]| {
        let present =
            names.iter().map(|n| json!({"name": n, "state": "Present", "neededFor": "x"}));
        Value::from_iter(present)
    };
    let able = features(&["vxlan", "bridge", "tap", "nftables"]);
    let underlay = |mtu: i32| json!({"address": "192.0.2.1", "mtu": mtu});
    let hypervisors = [
        hypervisor("node-a", json!({"status": {"features": able, "underlay": underlay(1549)}})),
        hypervisor("node-b", json!({"status": {"features": able}})),
        hypervisor(
            "node-c",
            json!({"status": {"features": features(&["vxlan", "tap"]), "underlay": underlay(9000)}}),
        ),
    ];
    let network = Some(Carried { network: "web".into(), mtu: 1500 });
    let wired = Demand { network, ..demand(GIB) };
    let refused = place(&fleet_of(&hypervisors, &[], &[]), &wired).unwrap_err();
    let lines = refused.to_string().replace("; ", "\n").replace("room: ", "room:\n");
    insta::assert_snapshot!(lines, @r"
    no hypervisor has room:
    node-a: carries 1499 byte packets at most, network web needs 1500
    node-b: has no tunnel end point for tenants' networks
    node-c: lacks bridge and nftables, which network interfaces need
    ");
    assert!(place(&fleet_of(&hypervisors, &[], &[]), &demand(GIB)).is_ok(), "without interface");
    let wide =
        hypervisor("node-d", json!({"status": {"features": able, "underlay": underlay(1550)}}));
    assert_eq!(place(&fleet_of(&[wide], &[], &[]), &wired).unwrap().node, node("node-d"));
}

#[test]
fn a_disk_pins_and_a_refusal_keeps_away() {
    let fleet =
        fleet_of(&[hypervisor("node-a", json!({})), hypervisor("node-b", json!({}))], &[], &[]);
    let pinned = Demand { pinned: Some(node("node-b")), ..demand(GIB) };
    assert_eq!(place(&fleet, &pinned).unwrap().node, node("node-b"));
    let gone = Demand { pinned: Some(node("node-x")), ..demand(GIB) };
    insta::assert_snapshot!(place(&fleet, &gone).unwrap_err(), @"node-x, which keeps a disk of the server, is no hypervisor now");
    let avoided = Demand { avoid: vec![(node("node-b"), "no memory".into())], ..pinned };
    insta::assert_snapshot!(place(&fleet, &avoided).unwrap_err(), @"node-b, which keeps a disk of the server, has no room: refused the server lately (no memory)");
    insta::assert_snapshot!(place(&Fleet::default(), &demand(GIB)).unwrap_err(), @"there is no hypervisor: label a node suigen.dev/role-hypervisor and wait for its node-daemon");
}

#[test]
fn a_node_with_an_object_that_cannot_be_read_takes_nothing() {
    let hypervisors = [Arc::new(hypervisor("node-a", json!({})))];
    let fleet = count(&Sources {
        hypervisors: &hypervisors,
        servers: &[],
        disks: &[],
        promises: Vec::new(),
        blind: BTreeMap::from([("node-a".into(), "VirtualServer acme/odd".into())]),
    });
    let refused = place(&fleet, &demand(GIB)).unwrap_err();
    assert!(refused.to_string().contains("VirtualServer acme/odd on it cannot be read"));
}

#[test]
fn a_promise_holds_until_the_store_shows_another_version() {
    let uid = Uid::try_from(crate::fixtures::SERVER.to_owned()).unwrap();
    let other = Uid::try_from(crate::fixtures::DISK.to_owned()).unwrap();
    let mut ledger = Ledger::default();
    let promise = Promise {
        version: "10".into(),
        node: node("node-a"),
        amounts: Amounts::default(),
        disks: vec![],
        namespace: "acme".into(),
        server: "web".into(),
        interfaces: vec![],
    };
    ledger.promise(uid.clone(), promise);
    assert_eq!(ledger.others(&uid).count(), 0, "one's own does not count against oneself");
    assert_eq!(ledger.others(&other).count(), 1);
    ledger.settle(|_| Some("10".into()));
    assert!(!ledger.is_empty());
    ledger.settle(|_| Some("11".into()));
    assert!(ledger.is_empty());
}

#[derive(Debug, Clone)]
struct Want {
    memory: i64,
    cpu: i64,
    disk: i64,
    /// Whether the store shows the placement before the next decision.
    shown: bool,
}

fn wants() -> impl Strategy<Value = Vec<Want>> {
    let want = (1..4_i64, 0..3000_i64, 0..5_i64, any::<bool>())
        .prop_map(|(memory, cpu, disk, shown)| Want { memory, cpu, disk, shown });
    proptest::collection::vec(want, 1..40)
}

fn uid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn as_server(number: usize, want: &Want, on: &NodeName) -> VirtualServer {
    let mut with = placed(1);
    crate::fixtures::over(
        &mut with,
        json!({
            "metadata": {"name": format!("s{number}"), "uid": uid(number)},
            "status": {"placement": {
                "nodeName": on,
                "class": {"memoryBytes": want.memory * GIB, "cpuFloorMillis": want.cpu},
                "disks": [{"name": "root", "diskName": format!("s{number}-root"), "diskUid": uid(number)}],
            }},
        }),
    );
    server(with)
}

fn as_disk(number: usize, want: &Want, on: Option<&NodeName>) -> Disk {
    disk(json!({
        "metadata": {"name": format!("s{number}-root"), "uid": uid(number)},
        "spec": {"size": format!("{}", want.disk.max(1) * GIB)},
        "status": {"nodeName": on},
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However many servers come, and however late the store shows what was
    /// placed, the sum on each hypervisor never exceeds what it has.
    #[test]
    fn never_more_than_there_is(
        wants in wants(),
        sizes in proptest::collection::vec((2..12_i64, 500..8000_i32, 1..20_i64), 1..4),
    ) {
        let hypervisors: Vec<_> = sizes.iter().enumerate().map(|(index, (memory, cpu, disk))| {
            Arc::new(hypervisor(&format!("node-{index}"), json!({"status": {"capacity": {
                "memoryBytes": memory * GIB, "cpuMillis": cpu, "localDiskBytes": disk * GIB,
            }}})))
        }).collect();
        let mut ledger = Ledger::default();
        let (mut servers, mut disks) = (Vec::new(), Vec::new());
        let mut sums = BTreeMap::<NodeName, Amounts>::new();
        let mut totals = BTreeMap::new();
        for (number, want) in wants.iter().enumerate() {
            let own = Uid::try_from(uid(number)).unwrap();
            let fleet = count(&Sources {
                hypervisors: &hypervisors, servers: &servers, disks: &disks,
                promises: ledger.others(&own).collect(), blind: BTreeMap::new(),
            });
            totals.extend(fleet.candidates.iter().map(|c| (c.node.clone(), c.total)));
            let amounts = Amounts {
                memory_bytes: want.memory * GIB + OVERHEAD_BYTES,
                cpu_millis: want.cpu,
                disk_bytes: want.disk.max(1) * GIB,
            };
            let asked = Demand { amounts, ..demand(0) };
            let Ok(choice) = place(&fleet, &asked) else { continue };
            let sum = sums.entry(choice.node.clone()).or_default();
            *sum = sum.plus(amounts);
            if want.shown {
                servers.push(Arc::new(as_server(number, want, &choice.node)));
                // The pin of the disk may be seen later than the placement.
                let pin = (number % 2 == 0).then_some(&choice.node);
                disks.push(Arc::new(as_disk(number, want, pin)));
            } else {
                let node = choice.node.clone();
                let promise = Promise {
                    version: "1".into(), node, amounts, disks: vec![],
                    namespace: "acme".into(), server: format!("s{number}"), interfaces: vec![],
                };
                ledger.promise(own, promise);
            }
        }
        for (node, sum) in sums {
            let total = totals[&node];
            prop_assert!(sum.memory_bytes <= total.memory_bytes, "{node}: {sum:?} of {total:?}");
            prop_assert!(sum.cpu_millis <= total.cpu_millis.max(0), "{node}: {sum:?} of {total:?}");
            prop_assert!(sum.disk_bytes <= total.disk_bytes, "{node}: {sum:?} of {total:?}");
        }
    }
}
