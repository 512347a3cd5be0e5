//! What a jailed QEMU can see and do.

use std::fs;
use std::time::Duration;

use suigen_node_daemon::hypervisor::qemu::logs;
use suigen_node_daemon::hypervisor::qemu::process;
use suigen_node_daemon::hypervisor::qmp::client::Client;

use crate::workshop::{Workshop, uid};

fn status_field(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_the_jail_leaves_no_rights_and_no_node_to_be_seen() {
    let Some(shop) = Workshop::new() else { return };
    let (server, disk) = (uid(5), uid(6));
    let Some(()) = shop.volume_of_tiny(&disk) else { return };
    let process = process::launch(&shop.paths, &shop.launch(&server, 1, &disk)).unwrap();
    let socket = shop.paths.qmp_socket(&server, 1);
    let _client = Client::connect(&socket, Duration::from_secs(20)).await.unwrap();
    let pid = process.pid();

    let user: u32 = status_field(pid, "Uid").split(' ').next().unwrap().parse().unwrap();
    assert!(user >= 200_000, "its own user: {user}");
    assert_eq!(status_field(pid, "Groups"), "");
    assert_eq!(status_field(pid, "NoNewPrivs"), "1");
    assert_eq!(status_field(pid, "Seccomp"), "2");
    for set in ["CapEff", "CapPrm", "CapAmb"] {
        assert_eq!(status_field(pid, set), "0000000000000000", "{set}");
    }
    for namespace in ["mnt", "net", "ipc"] {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{namespace}")).unwrap();
        assert_ne!(of(&pid.to_string()), of("self"), "{namespace}");
    }
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = cgroups.lines().find(|line| line.starts_with("0::")).unwrap();
    assert!(own.ends_with(&format!("{server}/1")), "{own}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string(), "a session of its own");

    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap();
    let roots: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    println!("{mounts}");
    for root in &roots {
        assert!(
            *root == "/"
                || root.starts_with("/dev")
                || root.starts_with("/run")
                || root.starts_with("/var/lib/suigen"),
            "{root} of the node is mounted"
        );
    }
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let writable = fields[3].split(',').any(|option| option == "rw");
        let may = ["/run/suigen", "/var/lib/suigen/serial.log"].contains(&fields[1])
            || fields[1].starts_with("/var/lib/suigen/volumes/");
        assert_eq!(writable, may, "{line}");
    }
    let devices = fs::read_dir(format!("/proc/{pid}/root/dev")).unwrap();
    let mut names: Vec<_> = devices.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["null", "urandom"]);
    process.kill().unwrap();
}

#[tokio::test]
async fn qemu_a_jail_that_cannot_be_entered_says_why() {
    let Some(shop) = Workshop::new() else { return };
    let (server, disk) = (uid(7), uid(8));
    let Some(()) = shop.volume_of_tiny(&disk) else { return };
    fs::remove_dir(shop.bundle_dir().join("dev")).unwrap();
    let process = process::launch(&shop.paths, &shop.launch(&server, 1, &disk)).unwrap();
    assert_eq!(process.exited().await, process::Exit::Status(125));
    let said = logs::tail(&shop.paths.qemu_log(&server), 4096);
    assert!(said.contains("mount memory at") && said.contains("No such file"), "{said}");
    process::clean(&shop.paths, &server, 1).unwrap();
}
