//! Cgroups on the kernel that there is. Needs root and a cgroup v2 file system.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use suigen_node_daemon::host::cgroup::Cgroup;

fn root(name: &str) -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).unwrap();
    let dir = format!("suigen-kernel-test-{name}-{}", std::process::id());
    PathBuf::from(mount.split(' ').nth(1).unwrap()).join(dir)
}

fn sleeper(cgroup: &Cgroup) -> Child {
    let child = Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(cgroup.procs(), child.id().to_string()).unwrap();
    child
}

#[test]
fn kernel_a_cgroup_is_killed_whole_and_removed() {
    let root = root("kill");
    let cgroup = Cgroup::at(root.join("server/1"));
    cgroup.create(&root).unwrap();
    cgroup.create(&root).unwrap();
    let mut children = [sleeper(&cgroup), sleeper(&cgroup)];
    assert_eq!(cgroup.pids().unwrap().len(), 2);
    assert_eq!(Cgroup::at(root.join("server")).children().unwrap(), ["1"]);
    let error = cgroup.remove(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.reason(), "ProcessDoesNotEnd");
    cgroup.kill().unwrap();
    // Nobody has waited for them yet: a dead process does not hold its cgroup.
    cgroup.remove(Duration::from_secs(5)).unwrap();
    for child in &mut children {
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    Cgroup::at(root.join("server")).remove(Duration::ZERO).unwrap();
    Cgroup::at(root).remove(Duration::ZERO).unwrap();
}

#[test]
fn kernel_what_is_gone_is_empty_and_can_be_removed_again() {
    let gone = Cgroup::at(root("gone"));
    assert_eq!(gone.pids().unwrap(), Vec::<i32>::new());
    assert_eq!(gone.children().unwrap(), Vec::<String>::new());
    gone.kill().unwrap();
    gone.remove(Duration::ZERO).unwrap();
    assert!(!gone.set("cpu.weight", "100").unwrap());
    assert!(!gone.exists());
}
