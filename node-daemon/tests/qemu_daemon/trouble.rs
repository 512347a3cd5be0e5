//! What a node cannot do it says, and does when it can.

use serde_json::json;
use suigen_node_daemon::vm::event::Event;

use crate::daemon::{DISK, SERVER, Scene};
use crate::workshop::wait_for;

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_server_that_does_not_fit_is_refused() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.memory = 300 << 20;
    let daemon = scene.daemon();
    daemon.see(&scene);
    scene.wait_for_state("Refused");
    let said = scene.runtime();
    assert_eq!((&said["reason"], &said["releasedEpoch"]), (&json!("DoesNotFit"), &json!(1)));
    assert_eq!(said["message"], "needs 336 MiB of memory, 300 MiB are free here");
    assert!(scene.pids().is_empty());
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_server_waits_for_its_disk_and_for_nothing_else() {
    let Some(scene) = Scene::new().await else { return };
    scene.api.change(DISK, |disk| disk["status"]["attachment"]["serverEpoch"] = json!(7));
    let daemon = scene.daemon();
    daemon.see(&scene);
    wait_for("the reason", || scene.runtime()["reason"] == "DiskNotAttached");
    assert_eq!(scene.runtime()["state"], "Preparing");
    scene.api.change(DISK, |disk| disk["status"]["attachment"]["serverEpoch"] = json!(1));
    daemon.registry.tell(&scene.server, Event::DiskSeen);
    scene.wait_for_state("Running");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_volume_that_was_there_is_never_made_anew() {
    let Some(scene) = Scene::new().await else { return };
    scene.api.change(DISK, |disk| {
        disk["status"]["volume"] = json!({"nodeName": "node-a", "state": "Ready"});
    });
    let daemon = scene.daemon();
    daemon.see(&scene);
    wait_for("the reason", || scene.runtime()["reason"] == "VolumeMissing");
    let volume = scene.api.get(DISK)["status"]["volume"].clone();
    assert_eq!((&volume["state"], &volume["reason"]), (&json!("Failed"), &json!("VolumeMissing")));
    daemon.end().await;
    // Also not by the next daemon, which finds the word "Failed".
    let daemon = scene.daemon();
    daemon.see(&scene);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!scene.shop.paths.volume(&scene.disk).exists());
    assert!(scene.pids().is_empty());
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_nothing_starts_without_the_word_on_disk() {
    let Some(scene) = Scene::new().await else { return };
    let rights = scene.shop.paths.rights();
    std::fs::remove_dir_all(&rights).unwrap();
    let daemon = scene.daemon();
    daemon.see(&scene);
    wait_for("the reason", || scene.runtime()["reason"] == "LogWriteFailed");
    assert_eq!(scene.runtime()["state"], "Down");
    assert!(scene.pids().is_empty());
    std::fs::create_dir(&rights).unwrap();
    scene.wait_for_state("Running");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_damaged_log_freezes_its_server_until_a_person_decides() {
    let Some(scene) = Scene::new().await else { return };
    let right = scene.shop.paths.right(&scene.server);
    std::fs::write(&right, "0123456789abcdef {}\n").unwrap();
    let daemon = scene.daemon();
    daemon.see(&scene);
    wait_for("the reason", || scene.runtime()["reason"] == "LogCorrupt");
    assert!(scene.pids().is_empty());
    std::fs::remove_file(&right).unwrap();
    scene.api.change(SERVER, |server| server["metadata"]["generation"] = json!(2));
    daemon.see(&scene);
    scene.wait_for_state("Running");
    daemon.end().await;
}
