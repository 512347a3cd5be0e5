//! Processes of the lab, as the host sees them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::lab::Lab;
use crate::lab::node::Node;
use crate::lab::unit::Record;

/// Clock ticks a second in `/proc/PID/stat`: the same on every Linux since 2.6
/// (proc_pid_stat(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// A process on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id on the host.
    pub pid: u32,
    /// The words it was started with.
    pub arguments: Vec<String>,
}

impl Process {
    /// The processes of a node whose program has this name (as in `/proc/PID/comm`).
    pub fn on_node(lab: &Lab, node: &str, name: &str) -> Result<Vec<Self>> {
        let cgroup = Node::new(lab, lab.node(node)?).unit().cgroup().clone();
        let mut found: Vec<Self> = below(cgroup.path())
            .into_iter()
            .filter(|pid| read(*pid, "comm").is_some_and(|comm| comm.trim() == name))
            .filter_map(|pid| Some(Self { pid, arguments: words(&read(pid, "cmdline")?) }))
            .collect();
        found.sort();
        Ok(found)
    }

    /// The only process of that name on a node.
    pub fn only_on_node(lab: &Lab, node: &str, name: &str) -> Result<Self> {
        let mut found = Self::on_node(lab, node, name)?;
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (_, others) => bail!("{node} should run one {name}, not {}", others + 1),
        }
    }

    /// The word after an option.
    pub fn argument(&self, option: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|word| word == option)?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// A variable of its environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        let variables = words(&read(self.pid, "environ")?);
        let found = |word: &String| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        variables.iter().find_map(found)
    }

    /// When it was started, in seconds since 1970, to the clock tick.
    pub fn started(&self) -> Result<f64> {
        let ticks = Record::of(self.pid)?.start_time;
        let uptime = fs::read_to_string("/proc/uptime").context("read the uptime")?;
        let uptime: f64 = uptime.split(' ').next().unwrap_or_default().parse()?;
        #[expect(clippy::cast_precision_loss, reason = "ticks of some years fit")]
        let since_boot = ticks as f64 / TICKS;
        Ok(super::now() - uptime + since_boot)
    }
}

fn below(cgroup: &Path) -> Vec<u32> {
    let listed = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = listed.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(below(&entry.path()));
        }
    }
    pids
}

/// None for a process that has ended meanwhile.
fn read(pid: u32, file: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn words(text: &str) -> Vec<String> {
    text.split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_after_an_option() {
        let process = Process { pid: 1, arguments: words("qemu\0-uuid\0u-1\0-S\0") };
        assert_eq!(process.argument("-uuid"), Some("u-1"));
        assert_eq!(process.argument("-S"), None);
        assert_eq!(process.argument("-m"), None);
    }

    #[test]
    fn a_process_started_before_it_looks_at_itself() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = Process { pid: child.id(), arguments: vec![] }.started().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let ago = super::super::now() - started;
        assert!((-0.1..30.0).contains(&ago), "{ago}");
    }
}
