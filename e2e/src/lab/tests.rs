//! Whole labs, up and down. They need root, like every lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Lab;
use crate::internal;

/// A lab in a directory of its own.
struct Place {
    _parent: tempfile::TempDir,
    dir: PathBuf,
}

impl Place {
    /// None, with a word about it, where a lab cannot be.
    fn find() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: a lab needs root");
            return None;
        }
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().canonicalize().unwrap().join("lab");
        Some(Self { _parent: parent, dir })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(internal::program().unwrap());
        command.arg("lab").args(args).env("SUIGEN_LAB", &self.dir).stdout(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) {
        assert!(self.command(args).status().unwrap().success(), "e2e lab {args:?}");
    }

    fn records(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let units = fs::read_dir(self.dir.join("units")).unwrap();
        let mut records: Vec<_> = units
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        records.sort();
        records
    }
}

/// Everything of a lab that the machine can see: processes by their cgroup and
/// their command line, the cgroup itself, mounts, and the directory.
fn left_behind(dir: &Path, id: &str) -> Vec<String> {
    let dir_name = dir.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        // A zombie has ended; its parent need not have looked yet.
        let ended = read("stat").contains(") Z ");
        let ours = read("cgroup").contains(id) || read("cmdline").contains(dir_name);
        if ours && !ended {
            found.push(format!("process {}", read("cmdline").replace('\0', " ")));
        }
    }
    let cgroup = super::cgroup::Cgroup::of_lab(id).unwrap();
    if cgroup.path().exists() {
        found.push(cgroup.path().display().to_string());
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(dir_name)).map(str::to_owned));
    if dir.exists() {
        found.push(dir_name.to_owned());
    }
    found
}

#[test]
fn lab_up_twice_changes_nothing_and_down_leaves_nothing() {
    let Some(place) = Place::find() else { return };
    place.run(&["up", "--nodes", "1"]);
    let id = Lab::open(&place.dir).unwrap().state.id;
    let first = place.records();
    assert!(!left_behind(&place.dir, &id).is_empty(), "the search finds nothing of a running lab");
    place.run(&["up"]);
    assert_eq!(first, place.records());
    // Guests run in cgroups of their own below the node's.
    let guest = "mkdir -p /sys/fs/cgroup/suigen/u/1; \
                 setsid sh -c 'echo 0 >/sys/fs/cgroup/suigen/u/1/cgroup.procs; exec sleep 600' \
                 <&- >&- 2>&- &";
    place.run(&["shell", "node-a", "sh", "-c", guest]);
    place.run(&["freeze", "node-a"]);
    place.run(&["down"]);
    assert_eq!(left_behind(&place.dir, &id), Vec::<String>::new());
}

#[test]
fn lab_killed_at_any_moment_leaves_nothing_after_down() {
    let Some(place) = Place::find() else { return };
    for moment in [30, 300, 1500, 2500, 3200] {
        let mut up = place.command(&["up", "--nodes", "1"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(moment));
        up.kill().unwrap();
        up.wait().unwrap();
        let id = Lab::find(&place.dir).ok().flatten().map(|lab| lab.state.id);
        place.run(&["down"]);
        let id = id.unwrap_or_else(|| "no-lab-came-to-be".to_owned());
        assert_eq!(left_behind(&place.dir, &id), Vec::<String>::new(), "killed at {moment} ms");
    }
}
