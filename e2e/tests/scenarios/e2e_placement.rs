//! Where servers go, and why not.

use suigen_e2e::scenario;

use crate::guest::Guest;
use crate::harness::{SOON, Scenario};

fn class(scenario: &Scenario, name: &str, spec: &str) {
    scenario.apply(&format!(
        "---
apiVersion: suigen.dev/v1alpha1
kind: ServerClass
metadata: {{name: {name}}}
spec: {spec}
"
    ));
}

fn patch_hypervisor(scenario: &Scenario, node: &str, spec: &str) {
    let patch = format!(r#"{{"spec":{spec}}}"#);
    scenario
        .cluster
        .kubectl(&["patch", &format!("hypervisor/{node}"), "--type=merge", "--patch", &patch])
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn e2e_no_room_says_which_limit_on_which_node() {
    let scenario = Scenario::shared("no-room");
    let shape =
        "{resourceType: BestEffort, virtual: {vcpus: 1, memory: 4000Gi, cpuFloorMillis: 10}}";
    class(&scenario, "huge-memory", shape);
    let mut server = scenario.tiny("whale");
    server.class = "huge-memory";
    scenario.apply(&server.yaml());
    let nodes = ["node-a", "node-b", "node-c", "memory"];
    scenario.says("virtualserver/whale", "Scheduled", &nodes);
    scenario.delete("virtualserver/whale");
}

#[test]
fn e2e_a_guaranteed_class_names_what_the_nodes_lack() {
    let scenario = Scenario::shared("guaranteed");
    let mut server = scenario.tiny("promised");
    server.class = "g-1c256m";
    scenario.apply(&server.yaml());
    scenario.says("virtualserver/promised", "Scheduled", &["node-a", "cgroup-cpu"]);
    scenario.delete("virtualserver/promised");
}

#[test]
fn fault_without_kvm_and_without_emulation_no_server_is_placed() {
    let scenario = Scenario::alone("deny");
    let nodes = ["node-a", "node-b", "node-c"];
    for node in nodes {
        patch_hypervisor(&scenario, node, r#"{"softwareEmulation":"Deny"}"#);
    }
    for node in nodes {
        let hypervisor = ("", &*format!("hypervisor/{node}"));
        scenario::wait(scenario.cluster, hypervisor, "condition=Qualified=False", SOON)
            .unwrap_or_else(|error| panic!("{error:#}"));
        let said = scenario::condition(scenario.cluster, hypervisor, "Qualified")
            .unwrap_or_else(|error| panic!("{error:#}"));
        assert!(said.contains("KVM") && said.contains("softwareEmulation"), "{said}");
    }
    scenario.apply(&scenario.tiny("slow").yaml());
    scenario.says("virtualserver/slow", "Scheduled", &["node-a", "KVM"]);
    for node in nodes {
        patch_hypervisor(&scenario, node, r#"{"softwareEmulation":"Allow"}"#);
    }
    Guest::up(&scenario, "slow");
}

#[test]
fn fault_a_disabled_hypervisor_keeps_what_runs_and_takes_no_more() {
    let scenario = Scenario::alone("disabled");
    scenario.apply(&scenario.tiny("old").yaml());
    let old = Guest::up(&scenario, "old");
    let boot = old.boot_id();
    for node in ["node-a", "node-b", "node-c"] {
        patch_hypervisor(&scenario, node, r#"{"scheduling":"Disabled"}"#);
    }
    scenario.apply(&scenario.tiny("new").yaml());
    scenario.says("virtualserver/new", "Scheduled", &["node-b", "Disabled"]);
    assert_eq!(old.boot_id(), boot);
    for node in ["node-a", "node-b", "node-c"] {
        patch_hypervisor(&scenario, node, r#"{"scheduling":"Enabled"}"#);
    }
    Guest::up(&scenario, "new");
}

#[test]
fn e2e_a_burst_of_servers_is_spread_without_booking_anything_twice() {
    let scenario = Scenario::shared("burst");
    let shape = "{resourceType: BestEffort, virtual: {vcpus: 1, memory: 6Gi, cpuFloorMillis: 10}}";
    class(&scenario, "third", shape);
    let names: Vec<String> = (0..9).map(|n| format!("b{n}")).collect();
    let mut all = String::new();
    for name in &names {
        let mut server = scenario.tiny(name);
        server.class = "third";
        // An image that never comes: placed servers must not be started for this.
        all.push_str(&server.yaml());
    }
    scenario.apply(&all);
    let placed = || {
        scenario
            .field("virtualserver", r#"{range .items[*]}{.status.placement.nodeName}{"\n"}{end}"#)
    };
    let room = suigen_e2e::progress::wait_for("every server to be placed or refused", SOON, || {
        let said = scenario.field(
            "virtualserver",
            r#"{range .items[*]}{.status.conditions[?(@.type=="Scheduled")].status}{"\n"}{end}"#,
        );
        let decided = said.lines().filter(|s| matches!(*s, "True" | "False")).count();
        Ok((decided == names.len()).then(placed))
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    for node in ["node-a", "node-b", "node-c"] {
        let memory = format!("hypervisor/{node}");
        let memory: i64 =
            scenario::field(scenario.cluster, ("", &memory), "{.status.capacity.memoryBytes}")
                .expect("read the capacity")
                .parse()
                .expect("a number of bytes");
        let servers = i64::try_from(room.lines().filter(|on| *on == node).count()).expect("small");
        assert!(
            servers * (6 << 30) <= memory - (2 << 30),
            "{node} is overbooked: {servers} servers"
        );
    }
    scenario
        .cluster
        .kubectl(&[
            &format!("--namespace={}", scenario.namespace),
            "delete",
            "virtualserver",
            "--all",
            "--timeout=180s",
        ])
        .expect("delete them all");
}
