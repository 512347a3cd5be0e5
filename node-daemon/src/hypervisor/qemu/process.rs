//! A running incarnation, whether this daemon started it or an earlier one.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use suigen_crds::ident::Uid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use super::clean::{CleanError, clean, remove_server};
pub use super::launch::{Launch, LaunchDisk, LaunchError, LaunchInterface, launch};
use crate::host::cgroup::{Cgroup, CgroupError};
use crate::host::paths::Paths;

/// Why a process cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The kernel gives no handle on it.
    #[error("{action} process {pid}")]
    Handle {
        /// What was tried.
        action: &'static str,
        /// With which process.
        pid: i32,
        /// Why not.
        source: io::Error,
    },
    /// Its cgroup does not say what is in it.
    #[error("look into the cgroup of a server")]
    Cgroup(#[from] CgroupError),
}

impl ProcessError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Handle { .. } => "ProcessNotWatchable",
            Self::Cgroup(error) => error.reason(),
        }
    }
}

/// What is there of an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The server.
    pub server: Uid,
    /// Which start of it.
    pub incarnation: i64,
    /// Its processes; without any it is a residue to be cleaned.
    pub pids: Vec<i32>,
    cgroup: Cgroup,
}

/// All incarnations that have a cgroup, by server and incarnation.
///
/// # Errors
/// When the cgroup file system cannot be read.
pub fn find(paths: &Paths) -> Result<Vec<Found>, CgroupError> {
    let mut found = Vec::new();
    for name in Cgroup::at(paths.cgroup()).children()? {
        let Ok(server) = Uid::try_from(name) else { continue };
        for child in Cgroup::at(paths.server_cgroup(&server)).children()? {
            let Ok(incarnation) = child.parse() else { continue };
            let cgroup = Cgroup::at(paths.incarnation_cgroup(&server, incarnation));
            let pids = cgroup.pids()?;
            found.push(Found { server: server.clone(), incarnation, pids, cgroup });
        }
    }
    found.sort_by(|a, b| (&a.server, a.incarnation).cmp(&(&b.server, b.incarnation)));
    Ok(found)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It was started by an earlier daemon, so its parent knows, not we.
    Unknown,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// A process of an incarnation. The pidfd in it means this very process, even
/// when the kernel gives its number to another.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    start_time: u64,
    pidfd: AsyncFd<OwnedFd>,
    cgroup: Cgroup,
}

impl Process {
    /// Takes hold of what was found; none if it ended meanwhile. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel gives no handle on it.
    pub fn adopt(found: &Found) -> Result<Option<Self>, ProcessError> {
        for pid in &found.pids {
            if let Some(process) = Self::open(*pid, found.cgroup.clone())? {
                return Ok(Some(process));
            }
        }
        Ok(None)
    }

    /// Takes hold of process `pid` of `cgroup`; none if it is not in there.
    pub(super) fn open(pid: i32, cgroup: Cgroup) -> Result<Option<Self>, ProcessError> {
        let Some(id) = Pid::from_raw(pid) else { return Ok(None) };
        let handle = |action, source| ProcessError::Handle { action, pid, source };
        let pidfd = match rustix::process::pidfd_open(id, PidfdFlags::NONBLOCK) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(handle("open a handle on", error.into())),
        };
        // Only now can the number no longer change its meaning.
        if !cgroup.pids()?.contains(&pid) {
            return Ok(None);
        }
        let Some(start_time) = start_time(pid) else { return Ok(None) };
        let pidfd = watch(pidfd).map_err(|error| handle("watch", error))?;
        Ok(Some(Self { pid: id, start_time, pidfd, cgroup }))
    }

    /// Takes hold of a child that was not waited for, so that its number is its
    /// own; it need not have joined the cgroup yet.
    pub(super) fn of_child(child: &Child, cgroup: Cgroup) -> Result<Self, ProcessError> {
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        let handle = |action, source| ProcessError::Handle { action, pid, source };
        let id = Pid::from_child(child);
        let pidfd = rustix::process::pidfd_open(id, PidfdFlags::NONBLOCK)
            .map_err(|error| handle("open a handle on", error.into()))?;
        let pidfd = watch(pidfd).map_err(|error| handle("watch", error))?;
        Ok(Self { pid: id, start_time: start_time(pid).unwrap_or_default(), pidfd, cgroup })
    }

    /// Its number.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// When it started, in clock ticks since the node's boot: with the number
    /// and the boot id it names the process for ever.
    #[must_use]
    pub const fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Waits until it has ended. May be called again, and by several at once;
    /// only one of them learns how it ended.
    pub async fn exited(&self) -> Exit {
        // A pidfd becomes readable once, for good; an error can only mean that
        // the runtime is being shut down.
        if self.pidfd.readable().await.is_err() {
            return Exit::Unknown;
        }
        let fd = WaitId::PidFd(std::os::fd::AsFd::as_fd(self.pidfd.get_ref()));
        match rustix::process::waitid(fd, WaitIdOptions::EXITED) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Status(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            },
            _ => Exit::Unknown,
        }
    }

    /// Kills it at once, without a word to the guest, together with whatever
    /// else is in its cgroup.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> Result<(), ProcessError> {
        self.cgroup.kill()?;
        match rustix::process::pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => {
                Err(ProcessError::Handle { action: "kill", pid: self.pid(), source: error.into() })
            }
        }
    }
}

fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same open descriptor for as long as it lives.
    #[allow(unsafe_code)]
    let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    watched.map_err(Into::into)
}

/// Field 22 of `/proc/<pid>/stat` (proc(5)), counted from the closing
/// parenthesis because the name before it may hold anything.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_start_time() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) 1 (b)) {}", fields.join(" "));
        assert_eq!(parse_start_time(&stat), Some(22));
    }
}
