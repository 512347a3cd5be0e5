//! On what it was measured.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::command::output;
use crate::{scenario, source_root};

/// Suigen and Kubernetes idle below this load average.
const BUSY: f64 = 1.0;

/// The machine and the source, as a table names them.
pub fn describe(cluster: &Cluster) -> Result<Vec<(&'static str, String)>> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let hypervisor = ("", "hypervisor/node-a");
    let kernel = rustix::system::uname();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = value(&read("/proc/cpuinfo"), "model name", ':');
    let memory = value(&read("/proc/meminfo"), "MemTotal", ':');
    Ok(vec![
        ("processor", format!("{cores} cores, {cpu}")),
        ("memory", gibibytes(&memory)),
        ("system", value(&read("/etc/os-release"), "PRETTY_NAME", '=').replace('"', "")),
        ("kernel", kernel.release().to_string_lossy().into_owned()),
        ("guests run by", scenario::field(cluster, hypervisor, "{.status.acceleration}")?),
        ("QEMU", scenario::field(cluster, hypervisor, "{.status.bundles[0].qemuVersion}")?),
        ("load while the system was idle", load()),
        ("nodes", cluster.lab()?.nodes()?.len().to_string()),
        ("commit", commit()?),
    ])
}

/// What else the machine did: on an idle one the average is near 0.
fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = averages.split(' ').next().unwrap_or_default().to_owned();
    if minute.parse::<f64>().is_ok_and(|load| load >= BUSY) {
        println!("note: the machine is busy with other things (load {minute}): times will be long");
    }
    minute
}

/// The value of the first line that begins with a key.
fn value(text: &str, key: &str, separator: char) -> String {
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_once(separator).map_or("unknown", |(_, value)| value.trim()).to_owned()
}

fn gibibytes(meminfo: &str) -> String {
    let kib = meminfo.strip_suffix(" kB").and_then(|number| number.parse::<u32>().ok());
    kib.map_or_else(
        || "unknown".to_owned(),
        |kib| format!("{:.1} GiB", f64::from(kib) / 1024.0 / 1024.0),
    )
}

/// The results themselves are no change of what was measured.
fn commit() -> Result<String> {
    let git = |args: &[&str]| output(Command::new("git").current_dir(source_root()).args(args));
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs"])?;
    let mark = if changed.is_empty() { "" } else { " and changes on top of it" };
    Ok(format!("{}{mark}", head.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_proc_says() {
        let text = "MemTotal:       24689416 kB\nMemFree: 1 kB\n";
        assert_eq!(gibibytes(&value(text, "MemTotal", ':')), "23.5 GiB");
        assert_eq!(value(text, "nothing", ':'), "unknown");
        assert_eq!(gibibytes("unknown"), "unknown");
    }
}
