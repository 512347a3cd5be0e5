//! Processes of the lab that outlive the command that started them.
//!
//! A unit writes its own record (process id and start time) before it becomes
//! what it runs, so there is no moment at which a process exists that `down`
//! could not find. The start time tells it from a later process of the same id.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use crate::command::{append_to, tail};
use crate::internal;
use crate::progress::wait_for;

/// A process, named so that it cannot be mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Process id as the host sees it.
    pub pid: u32,
    /// Start time in clock ticks since boot (proc(5), stat field 22).
    pub start_time: u64,
    /// The machine's boot: ids and times start anew with each.
    pub boot_id: String,
}

impl Record {
    /// The record of a running process.
    pub fn of(pid: u32) -> Result<Self> {
        let (start_time, _) = stat(pid).with_context(|| format!("look at process {pid}"))?;
        Ok(Self { pid, start_time, boot_id: boot_id()? })
    }

    /// Reads a record; none where there is no such file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes)
                    .with_context(|| format!("read {}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes the record so that a reader sees all of it or nothing.
    pub fn write(&self, path: &Path) -> Result<()> {
        let partial = path.with_extension("new");
        fs::write(&partial, serde_json::to_vec(self)?)
            .with_context(|| format!("write {}", partial.display()))?;
        fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))
    }

    /// Whether that very process still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        let current_boot = boot_id().is_ok_and(|boot| boot == self.boot_id);
        current_boot
            && stat(self.pid).is_some_and(|(start, state)| {
                start == self.start_time && !matches!(state, 'Z' | 'X')
            })
    }

    /// Ends it at once and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("process id 0")?;
        // It may end by itself between the look and the signal.
        let _ = kill_process(pid, Signal::KILL);
        wait_for(&format!("the end of process {}", self.pid), Duration::from_secs(20), || {
            Ok((!self.is_alive()).then_some(()))
        })
    }
}

/// A process of the lab by name, with its record, its log and its cgroup.
#[derive(Debug, Clone)]
pub struct Unit {
    /// What commands and messages call it.
    pub name: String,
    record: PathBuf,
    log: PathBuf,
    cgroup: Cgroup,
}

impl Unit {
    /// A unit whose record is in `records` and whose log in `logs`.
    pub fn new(name: &str, records: &Path, logs: &Path, lab: &Cgroup) -> Self {
        Self {
            name: name.to_owned(),
            record: records.join(format!("{name}.json")),
            log: logs.join(format!("{name}.log")),
            cgroup: lab.child(name),
        }
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The cgroup that holds it and all that it starts.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The running process, if there is one.
    pub fn running(&self) -> Result<Option<Record>> {
        Ok(Record::read(&self.record)?.filter(Record::is_alive))
    }

    /// The running process, or an error that says how to see why there is none.
    pub fn expect_running(&self) -> Result<Record> {
        match self.running()? {
            Some(record) => Ok(record),
            None => bail!("{} does not run\n{}", self.name, self.what_it_said()),
        }
    }

    fn what_it_said(&self) -> String {
        format!("{}\nlook further: e2e lab logs {}", tail(&self.log), self.name)
    }

    /// Starts `argv`, in the network namespace of `netns` where one is given,
    /// unless the unit runs already.
    pub fn start(&self, netns: Option<&Record>, argv: &[String]) -> Result<Record> {
        if let Some(record) = self.running()? {
            return Ok(record);
        }
        self.stop()?;
        self.cgroup.create()?;
        let log = append_to(&self.log)?;
        let mut launch = Command::new(internal::program()?);
        launch.args(["internal", "launch", "--record"]).arg(&self.record);
        launch.arg("--cgroup").arg(self.cgroup.path());
        if let Some(record) = netns {
            launch.arg("--netns").arg(format!("/proc/{}/ns/net", record.pid));
        }
        launch.arg("--").args(argv).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = launch.spawn().with_context(|| format!("start {}", self.name))?;
        wait_for(&format!("the start of {}", self.name), Duration::from_secs(10), || {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended with {status}\n{}", self.name, self.what_it_said());
            }
            Record::read(&self.record)
        })
    }

    /// Ends the unit and all that it started; nothing if it does not run.
    pub fn stop(&self) -> Result<()> {
        if let Some(record) = Record::read(&self.record)? {
            record.kill().with_context(|| format!("stop {}", self.name))?;
        }
        self.cgroup.destroy()?;
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.record.display()))
            }
            _ => Ok(()),
        }
    }
}

fn boot_id() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot id")?;
    Ok(text.trim().to_owned())
}

/// Start time and state of a process.
fn stat(pid: u32) -> Option<(u64, char)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The program's name stands in brackets and may hold anything, brackets too.
fn parse_stat(stat: &str) -> Option<(u64, char)> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?.chars().next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((start_time, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_whose_program_has_a_strange_name() {
        let line = "42 (a) b) (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 8192 1";
        assert_eq!(parse_stat(line), Some((987_654, 'S')));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_record_dies_with_its_process_and_is_not_a_later_one() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let record = Record::of(child.id()).unwrap();
        assert!(record.is_alive());
        let later = Record { start_time: record.start_time + 1, ..record.clone() };
        assert!(!later.is_alive());
        later.kill().unwrap();
        assert!(record.is_alive());
        record.kill().unwrap();
        assert!(!record.is_alive());
        child.wait().unwrap();
    }
}
