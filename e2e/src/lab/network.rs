//! The lab's network: a bridge in the control plane's namespace, one port a node.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::address::{CONTROL_PLANE, NodeIndex};
use super::unit::{Record, Unit};
use crate::command::output;
use crate::progress::wait_for;

/// Starts the process that holds a network namespace and waits until it does.
pub fn hold(unit: &Unit) -> Result<Record> {
    let argv = ["unshare", "--net", "sleep", "infinity"].map(str::to_owned);
    let record = unit.start(None, &argv)?;
    let own = fs::read_link("/proc/self/ns/net").context("read the own network namespace")?;
    wait_for(&format!("the network namespace of {}", unit.name), Duration::from_secs(10), || {
        let theirs = fs::read_link(format!("/proc/{}/ns/net", record.pid))?;
        Ok((theirs != own).then_some(()))
    })?;
    Ok(record)
}

/// Makes the bridge; nothing changes where it is there already.
pub fn bridge(control_plane: &Record) -> Result<()> {
    ip(control_plane, "link set lo up")?;
    if ip(control_plane, "link show br0").is_err() {
        ip(control_plane, "link add br0 type bridge")?;
    }
    ip(control_plane, &format!("addr replace {CONTROL_PLANE}/24 dev br0"))?;
    ip(control_plane, "link set br0 up")
}

/// Plugs a node into the bridge and routes between its pods and all others'.
pub fn plug(
    control_plane: &Record,
    node: NodeIndex,
    holder: &Record,
    all: &[NodeIndex],
) -> Result<()> {
    let port = node.bridge_port();
    // The port of the last power-on goes with its namespace, but not at once.
    let _ = ip(control_plane, &format!("link del {port}"));
    ip(control_plane, &format!("link add {port} type veth peer name eth0 netns {}", holder.pid))?;
    ip(control_plane, &format!("link set {port} master br0 up"))?;
    ip(control_plane, &format!("route replace {} via {}", node.pod_network(), node.address()))?;
    ip(holder, "link set lo up")?;
    ip(holder, &format!("addr add {}/24 dev eth0", node.address()))?;
    ip(holder, "link set eth0 up")?;
    ip(holder, &format!("route add default via {CONTROL_PLANE}"))?;
    all.iter().filter(|other| **other != node).try_for_each(|other| {
        ip(holder, &format!("route add {} via {}", other.pod_network(), other.address()))
    })
}

/// Runs `ip` in the network namespace of a process.
fn ip(holder: &Record, arguments: &str) -> Result<()> {
    let mut command = in_network(holder, "ip");
    command.args(arguments.split(' '));
    output(&mut command).map(|_| ())
}

/// A program of the host in the network namespace of a process.
pub fn in_network(holder: &Record, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &holder.pid.to_string(), "--net", "--", program]);
    command
}
