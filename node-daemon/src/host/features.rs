//! Features of the kernel and the host, each with what cannot be had without it.

use std::fs;
use std::io;
use std::path::Path;

use suigen_crds::hypervisor::{FEATURE_CGROUP_CPU, FEATURE_CGROUP_MEMORY, Feature, FeatureState};

use super::cgroup::Cgroup;
use super::paths::Paths;

/// Looks for each feature but those of networks. Leaves nothing behind.
pub(super) fn probe(paths: &Paths) -> Vec<Feature> {
    let controllers = controllers(paths.cgroup());
    let controller = |name: &str| controllers.iter().any(|present| present == name);
    [
        (
            FEATURE_CGROUP_CPU,
            controller("cpu"),
            "Guaranteed classes: nothing else enforces CPU floors",
        ),
        (
            FEATURE_CGROUP_MEMORY,
            controller("memory"),
            "Guaranteed classes: nothing else protects a server's memory",
        ),
        (
            "cgroup-io",
            controller("io"),
            "limits of a disk's bandwidth that hold for all of a server",
        ),
        ("cgroup-kill", cgroup_kill(paths.cgroup()), "ending a server's processes at once"),
        (
            "memory-overcommit",
            overcommits(),
            "servers whose memory together is more than is free right now",
        ),
        ("huge-pages", huge_pages(), "faster memory of large servers"),
        ("node-mounts", node_mounts(), "guests that outlive the node-daemon's pod"),
        ("seccomp", Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(), "QEMU's sandbox"),
        ("vhost-net", Path::new("/dev/vhost-net").exists(), "fast networking of servers"),
    ]
    .into_iter()
    .map(|(name, present, needed_for)| Feature {
        name: name.to_owned(),
        state: if present { FeatureState::Present } else { FeatureState::Missing },
        needed_for: needed_for.to_owned(),
    })
    .collect()
}

/// Controllers that a cgroup of ours can have: those that reach its parent.
fn controllers(cgroup: &Path) -> Vec<String> {
    let place = cgroup.ancestors().find(|dir| dir.join("cgroup.controllers").exists());
    let text = place.and_then(|dir| fs::read_to_string(dir.join("cgroup.controllers")).ok());
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Linux 5.14 and later; the file is in every cgroup but the root.
fn cgroup_kill(cgroup: &Path) -> bool {
    let probe = Cgroup::at(cgroup.join("probe"));
    let created = fs::create_dir_all(cgroup).and_then(|()| fs::create_dir(cgroup.join("probe")));
    let made = match created {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return false,
        other => other.is_ok(),
    };
    let present = cgroup.join("probe/cgroup.kill").exists();
    if made && probe.remove(std::time::Duration::ZERO).is_err() {
        tracing::warn!("left a cgroup that was made to look for features");
    }
    present
}

/// Strict accounting counts a guest's whole memory when it starts.
fn overcommits() -> bool {
    fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() != "2")
}

/// Pages set aside for it; transparent ones do not serve shared memory unasked.
fn huge_pages() -> bool {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else { return false };
    sizes.filter_map(Result::ok).any(|size| {
        fs::read_to_string(size.path().join("nr_hugepages"))
            .is_ok_and(|count| count.trim().parse::<u64>().is_ok_and(|count| count > 0))
    })
}

/// Without the node's process ids or the right to look at its first process,
/// QEMU stays in the mounts of the daemon's pod.
fn node_mounts() -> bool {
    fs::read_link("/proc/1/ns/mnt").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_names_of_their_own_and_fit_the_api() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path(), dir.path(), dir.path().join("cgroup"));
        let features = probe(&paths);
        let names: std::collections::BTreeSet<&str> =
            features.iter().map(|feature| feature.name.as_str()).collect();
        assert_eq!(names.len(), features.len());
        assert!(features.iter().all(|f| f.name.len() <= 63 && f.needed_for.len() <= 256));
        let absent = features.iter().find(|f| f.name == FEATURE_CGROUP_CPU).unwrap();
        assert_eq!(absent.state, FeatureState::Missing);
    }

    #[test]
    fn controllers_are_those_of_the_nearest_cgroup_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpu memory\n").unwrap();
        assert_eq!(controllers(&dir.path().join("suigen")), ["cpu", "memory"]);
    }
}
