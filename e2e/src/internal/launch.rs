//! The first instructions of every process of the lab.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::lab::unit::Record;

/// Writes this process's record, leaves the caller's session, cgroup and
/// network namespace, and becomes `argv`.
pub fn launch(record: &Path, cgroup: &Path, netns: Option<&Path>, argv: &[String]) -> Result<()> {
    Record::of(process::id())?.write(record)?;
    rustix::process::setsid().context("leave the session")?;
    fs::write(cgroup.join("cgroup.procs"), "0")
        .with_context(|| format!("enter {}", cgroup.display()))?;
    if let Some(path) = netns {
        enter_network(path)?;
    }
    let Some((program, args)) = argv.split_first() else { bail!("no program") };
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("become {program}"))
}

/// Moves this thread into a network namespace; sockets made before stay where they were.
pub fn enter_network(path: &Path) -> Result<()> {
    let namespace = File::open(path).with_context(|| format!("open {}", path.display()))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("enter {}", path.display()))
}
