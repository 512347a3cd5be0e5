//! The lab's part of the version 2 cgroup tree. Version 1 hierarchies belong
//! to the machine and are not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::progress::wait_for;

/// A cgroup that the lab made, or may yet make.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The cgroup that holds all of the lab with this id.
    pub fn of_lab(id: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
        let root = mount_point(&mounts)
            .context("no version 2 cgroup tree is mounted on this machine (mount -t cgroup2)")?;
        Ok(Self { path: root.join(format!("suigen-lab-{id}")) })
    }

    /// A cgroup below this one.
    pub fn child(&self, name: &str) -> Self {
        Self { path: self.path.join(name) }
    }

    /// The directory that stands for it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates it, and passes on to it every controller that its parents have.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.path)
            .with_context(|| format!("create {}", self.path.display()))?;
        let Some(lab) = self.path.parent() else { return Ok(()) };
        for above in [lab.parent(), Some(lab)].into_iter().flatten() {
            delegate(above);
        }
        Ok(())
    }

    /// Stops every process in it where it stands, or lets them go on.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let (flag, event) = if frozen { ("1", "frozen 1") } else { ("0", "frozen 0") };
        self.write("cgroup.freeze", flag)?;
        wait_for("the freezer's answer", Duration::from_secs(10), || {
            let events = fs::read_to_string(self.path.join("cgroup.events"))?;
            Ok(events.lines().any(|line| line == event).then_some(()))
        })
    }

    /// Whether its processes are stopped by [`Self::freeze`].
    pub fn is_frozen(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.freeze")).is_ok_and(|flag| flag.trim() == "1")
    }

    /// Ends every process in it and below, frozen or not, and removes it.
    pub fn destroy(&self) -> Result<()> {
        if !self.path.is_dir() {
            return Ok(());
        }
        self.write("cgroup.kill", "1")?;
        wait_for("the end of a cgroup", Duration::from_secs(20), || {
            Ok(remove_tree(&self.path).then_some(()))
        })
        .with_context(|| format!("remove {}", self.path.display()))
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, value).with_context(|| format!("write {value} to {}", path.display()))
    }
}

/// Best effort: a controller that cannot be passed on is one that nodes report as missing.
fn delegate(dir: &Path) {
    let available = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes what is empty; true when nothing is left.
fn remove_tree(dir: &Path) -> bool {
    if let Ok(entries) = fs::read_dir(dir) {
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
    !dir.exists()
}

fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        after.starts_with("cgroup2 ").then(|| PathBuf::from(point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_version_2_tree_of_a_hybrid_machine() {
        let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_point("1 0 0:1 / / rw - ext4 /dev/vda rw\n"), None);
    }
}
