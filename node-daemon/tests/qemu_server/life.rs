//! From the first start to nothing left.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use suigen_crds::server_image::Firmware;
use suigen_node_daemon::hypervisor::qemu::logs;
use suigen_node_daemon::hypervisor::qemu::process::{self, Exit, Process};
use suigen_node_daemon::hypervisor::qmp::client::{Client, Event};
use suigen_node_daemon::hypervisor::qmp::commands::{
    Cont, QueryBlock, QueryStatus, QueryUuid, QueryVersion, Quit, RunState,
};
use tokio::sync::mpsc::Receiver;

use crate::workshop::{PATIENCE, Workshop, uid, wait_for};

async fn event(events: &mut Receiver<Event>, wanted: impl Fn(&Event) -> bool) {
    let next = async {
        while let Some(event) = events.recv().await {
            if wanted(&event) {
                return;
            }
        }
        panic!("the connection ended");
    };
    tokio::time::timeout(PATIENCE, next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_server_starts_is_adopted_powers_off_and_leaves_nothing() {
    let Some(shop) = Workshop::new() else { return };
    let (server, disk) = (uid(1), uid(2));
    let Some(()) = shop.volume_of_tiny(&disk) else { return };
    let process = process::launch(&shop.paths, &shop.launch(&server, 1, &disk)).unwrap();
    let socket = shop.paths.qmp_socket(&server, 1);
    let (client, mut events) = Client::connect(&socket, Duration::from_secs(20)).await.unwrap();
    let status = client.execute(QueryStatus {}).await.unwrap();
    assert_eq!((status.running, status.status), (false, RunState::Prelaunch));
    assert_eq!(client.execute(QueryUuid {}).await.unwrap().uuid, server.as_str());
    assert_eq!(client.execute(QueryVersion {}).await.unwrap().qemu.major, 10);
    let disks = client.execute(QueryBlock {}).await.unwrap();
    assert_eq!(disks[0].inserted.as_ref().unwrap().node_name, "disk0");
    client.execute(Cont {}).await.unwrap();

    let log = shop.paths.serial_log(&server);
    wait_for("the guest", || logs::tail(&log, 1 << 16).contains("tiny: up after"));
    let found = process::find(&shop.paths).unwrap();
    assert_eq!((&found[0].server, found[0].incarnation), (&server, 1));
    assert_eq!(found[0].pids, [process.pid()]);
    let adopted = Process::adopt(&found[0]).unwrap().unwrap();
    assert_eq!(adopted.start_time(), process.start_time());
    let again = process::launch(&shop.paths, &shop.launch(&server, 1, &disk)).unwrap_err();
    assert_eq!(again.reason(), "AlreadyRunning");

    let beyond = beyond_guest_memory(process.pid());
    println!("{} MiB beyond the guest's memory", beyond >> 20);
    assert!(beyond <= 80 << 20, "a server is counted with 80 MiB more: {beyond}");

    let mut console = UnixStream::connect(shop.paths.serial_socket(&server, 1)).unwrap();
    wait_for("the prompt", || logs::tail(&log, 1 << 16).contains("tiny# "));
    writeln!(console, "poweroff -f").unwrap();
    event(&mut events, |event| matches!(event, Event::Shutdown { guest: true, .. })).await;
    let status = client.execute(QueryStatus {}).await.unwrap();
    assert_eq!(status.status, RunState::Shutdown, "QEMU stays until the daemon has decided");
    client.execute(Quit {}).await.unwrap();
    assert_eq!(process.exited().await, Exit::Status(0));
    adopted.exited().await;

    process::clean(&shop.paths, &server, 1).unwrap();
    process::clean(&shop.paths, &server, 1).unwrap();
    process::remove_server(&shop.paths, &server).unwrap();
    assert_eq!(process::find(&shop.paths).unwrap(), []);
    for path in [
        shop.paths.server_dir(&server),
        shop.paths.server_run_dir(&server),
        shop.paths.server_cgroup(&server),
    ] {
        assert!(!path.exists(), "{}", path.display());
    }
    assert_eq!(fs::read_dir(shop.paths.user_ids()).unwrap().count(), 0);
    assert!(shop.paths.volume(&disk).exists(), "disks outlive their servers");
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_uefi_keeps_its_variables_and_a_killed_server_starts_again() {
    let Some(shop) = Workshop::new() else { return };
    let (server, disk) = (uid(3), uid(4));
    let Some(()) = shop.volume_of_tiny(&disk) else { return };
    let log = shop.paths.serial_log(&server);
    let mut users = Vec::new();
    for incarnation in [1, 2] {
        let mut launch = shop.launch(&server, incarnation, &disk);
        launch.firmware = Firmware::Uefi;
        let process = process::launch(&shop.paths, &launch).unwrap();
        let socket = shop.paths.qmp_socket(&server, incarnation);
        let (client, mut events) = Client::connect(&socket, Duration::from_secs(20)).await.unwrap();
        client.execute(Cont {}).await.unwrap();
        let boots = usize::try_from(incarnation).unwrap();
        wait_for("the guest", || {
            logs::tail(&log, 1 << 20).matches("tiny: up after").count() == boots
        });
        users.push(fs::metadata(shop.paths.nvram(&disk)).unwrap().uid());
        process.kill().unwrap();
        assert_eq!(process.exited().await, Exit::Signal(9));
        event_stream_ends(&mut events).await;
        process::clean(&shop.paths, &server, incarnation).unwrap();
    }
    assert!(users.iter().all(|user| *user >= 200_000), "{users:?}");
}

async fn event_stream_ends(events: &mut Receiver<Event>) {
    while events.recv().await.is_some() {}
}

/// Memory of a process without what backs its guest's, in bytes.
fn beyond_guest_memory(pid: i32) -> u64 {
    let (mut total, mut counted) = (0, true);
    for line in fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap().lines() {
        if line.starts_with(|c: char| c.is_ascii_hexdigit()) && line.contains('-') {
            counted = !line.contains("memfd:memory-backend-memfd");
        } else if let Some(size) = line.strip_prefix("Pss:").filter(|_| counted) {
            total += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
        }
    }
    total
}
