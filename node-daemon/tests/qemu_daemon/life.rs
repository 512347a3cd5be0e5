//! A server's life as its node sees it.

use std::time::Duration;

use serde_json::json;
use suigen_node_daemon::hypervisor::qemu::logs;
use suigen_node_daemon::right::Log;

use crate::daemon::{DISK, SERVER, Scene};
use crate::workshop::{PATIENCE, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_server_runs_outlives_its_daemon_and_leaves_nothing() {
    let Some(scene) = Scene::new().await else { return };
    let daemon = scene.daemon();
    daemon.see(&scene);
    scene.wait_for_state("Running");
    let log = scene.shop.paths.serial_log(&scene.server);
    wait_for("the guest", || logs::tail(&log, 1 << 16).contains("tiny: up after"));
    let pids = scene.pids();
    assert_eq!(pids.len(), 1);
    assert!(scene.reports().len() <= 2, "{:?}", scene.reports());
    assert!(scene.api.writes(DISK).len() <= 2, "{:?}", scene.api.writes(DISK));

    // The next daemon adopts it and has nothing to say.
    let said = scene.reports().len();
    daemon.end().await;
    let daemon = scene.daemon();
    daemon.see(&scene);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((scene.pids(), scene.reports().len()), (pids, said));

    scene.api.change(SERVER, |server| {
        server["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    daemon.see(&scene);
    scene.wait_for_state("Released");
    assert_eq!(scene.runtime()["releasedEpoch"], 1);
    assert!(scene.pids().is_empty());
    assert!(!scene.shop.paths.server_dir(&scene.server).exists());
    assert!(!scene.shop.paths.server_run_dir(&scene.server).exists());
    let right = scene.shop.paths.right(&scene.server);
    assert!(right.exists(), "the word stays while the object does");
    scene.api.remove(SERVER);
    daemon.wake(&scene);
    wait_for("the log to go", || !right.exists());
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_server_that_ends_while_the_api_is_away_stays_down_until_it_is_back() {
    let Some(scene) = Scene::new().await else { return };
    let daemon = scene.daemon();
    daemon.see(&scene);
    scene.wait_for_state("Running");
    scene.api.go_away(true);
    daemon.end().await;
    let daemon = scene.daemon();
    kill(&scene);
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert!(scene.pids().is_empty(), "started without a quorum read");
    scene.api.go_away(false);
    wait_for("the second run", || scene.runtime()["incarnation"] == 2);
    scene.wait_for_state("Running");
    let reports = scene.reports();
    assert!(reports.contains(&"Down ApiServerUnreachable".to_owned()), "{reports:?}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_power_follows_the_spec_and_the_guests_own_poweroff_the_policy() {
    let Some(scene) = Scene::new().await else { return };
    let daemon = scene.daemon();
    daemon.see(&scene);
    scene.wait_for_state("Running");
    let change = |what: &str, value: &str| {
        scene.api.change(SERVER, |server| {
            server["spec"][what] = json!(value);
            let generation = server["metadata"]["generation"].as_i64().unwrap();
            server["metadata"]["generation"] = json!(generation + 1);
        });
        daemon.see(&scene);
    };
    change("powerState", "PoweredOff");
    scene.wait_for_state("Stopped");
    assert!(scene.pids().is_empty());
    change("restartPolicy", "OnFailure");
    change("powerState", "PoweredOn");
    scene.wait_for_state("Running");
    assert_eq!(scene.runtime()["incarnation"], 2);
    let console = power_off_from_within(&scene);
    scene.wait_for_state("Stopped");
    drop(console);
    assert_eq!(scene.runtime()["reason"], "GuestPoweredOff");
    change("restartPolicy", "Always");
    scene.wait_for_state("Running");
    kill(&scene);
    wait_for("the restart", || scene.runtime()["incarnation"] == 4);
    let reports = scene.reports();
    assert!(reports.contains(&"Down QemuExited".to_owned()), "{reports:?}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_only_a_higher_epoch_ends_a_guest_and_absence_never() {
    let Some(scene) = Scene::new().await else { return };
    let daemon = scene.daemon();
    daemon.see(&scene);
    scene.wait_for_state("Running");
    let object = scene.api.get(SERVER);
    let orphans = || daemon.registry.node().ledger.sum().1;
    let reason = || orphans().first().map(|orphan| orphan.reason.clone());

    scene.api.remove(SERVER);
    daemon.wake(&scene);
    wait_for("the orphan", || reason().as_deref() == Some("ObjectMissing"));
    let mut other = object.clone();
    other["metadata"]["uid"] = json!("0a000000-0000-4000-8000-0000000000ff");
    scene.api.put(SERVER, other);
    daemon.wake(&scene);
    wait_for("the orphan", || reason().as_deref() == Some("ObjectReplaced"));
    let mut older = object.clone();
    older["status"]["placement"]["nodeName"] = json!("node-b");
    scene.api.put(SERVER, older);
    daemon.wake(&scene);
    wait_for("the orphan", || reason().as_deref() == Some("PlacedElsewhere"));
    scene.api.put(SERVER, object.clone());
    daemon.wake(&scene);
    wait_for("no orphan", || orphans().is_empty());
    assert_eq!(scene.pids().len(), 1, "left alone all the time");

    let mut moved = object;
    moved["status"]["placement"]["nodeName"] = json!("node-b");
    moved["status"]["placement"]["epoch"] = json!(2);
    scene.api.put(SERVER, moved);
    let said = scene.reports().len();
    daemon.wake(&scene);
    wait_for("the end", || scene.pids().is_empty());
    let right = scene.shop.paths.right(&scene.server);
    wait_for("the word", || Log::open(&right).unwrap().history().held.is_none());
    assert_eq!(scene.reports().len(), said, "nothing is said of a right that moved on");
    daemon.end().await;
}

pub fn kill(scene: &Scene) {
    for pid in scene.pids() {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

/// Types at the console of a guest that is starting. QEMU drops what was typed
/// into a console that is closed at once, so it is given back.
fn power_off_from_within(scene: &Scene) -> std::os::unix::net::UnixStream {
    use std::io::{Read, Write};
    let incarnation = scene.runtime()["incarnation"].as_i64().unwrap();
    let socket = scene.shop.paths.serial_socket(&scene.server, incarnation);
    let mut console = std::os::unix::net::UnixStream::connect(socket).unwrap();
    console.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut seen, mut chunk) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&seen).contains("tiny# ") {
        let length = console.read(&mut chunk).expect("the prompt");
        assert_ne!(length, 0, "the console closed");
        seen.extend_from_slice(&chunk[..length]);
    }
    writeln!(console, "poweroff -f").unwrap();
    console
}
