//! Our commands against the schema of the bundle's QEMU.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use suigen_node_daemon::hypervisor::qemu::process;
use suigen_node_daemon::hypervisor::qmp::client::Client;
use suigen_node_daemon::hypervisor::qmp::commands::{NAMES, QueryQmpSchema, RunState};

use crate::workshop::{Workshop, uid};

#[tokio::test(flavor = "multi_thread")]
async fn qemu_knows_every_command_event_and_run_state() {
    let Some(shop) = Workshop::new() else { return };
    let mut launch = shop.launch(&uid(13), 1, &uid(14));
    launch.disks.clear();
    let process = process::launch(&shop.paths, &launch).unwrap();
    let socket = shop.paths.qmp_socket(&uid(13), 1);
    let (client, _events) = Client::connect(&socket, Duration::from_secs(20)).await.unwrap();
    let schema = client.execute(QueryQmpSchema {}).await.unwrap();
    let entries: BTreeMap<(&str, &str), &Value> = schema
        .as_array()
        .unwrap()
        .iter()
        .map(|e| ((e["meta-type"].as_str().unwrap(), e["name"].as_str().unwrap()), e))
        .collect();
    for name in NAMES {
        let command = entries.get(&("command", name)).unwrap_or_else(|| panic!("{name}"));
        let arguments = entries[&("object", command["arg-type"].as_str().unwrap())];
        for member in arguments["members"].as_array().unwrap() {
            assert!(member.get("default").is_some(), "{name} requires {member}");
        }
    }
    for name in [
        "SHUTDOWN",
        "POWERDOWN",
        "STOP",
        "RESUME",
        "RESET",
        "BLOCK_IO_ERROR",
        "GUEST_PANICKED",
        "SUSPEND",
        "WAKEUP",
    ] {
        assert!(entries.contains_key(&("event", name)), "{name}");
    }
    let status = entries[&("command", "query-status")]["ret-type"].as_str().unwrap();
    let members = entries[&("object", status)]["members"].as_array().unwrap();
    let state = members.iter().find(|member| member["name"] == "status").unwrap();
    let states = entries[&("enum", state["type"].as_str().unwrap())];
    for state in states["members"].as_array().unwrap() {
        let name = &state["name"];
        let ours: RunState = serde_json::from_value(name.clone()).unwrap();
        assert_eq!(ours.as_str(), name, "a run state that the daemon does not know");
    }
    process.kill().unwrap();
}
