//! How long a hypervisor is without its daemon after a SIGKILL.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::process::Process;
use super::{DAEMON, QEMU, now};
use crate::cluster::Cluster;
use crate::internal::launch::enter_network;
use crate::lab::node::Node;
use crate::progress::wait_for;

/// Where a daemon says that it is ready, seen from its node.
const HEALTH: ([u8; 4], u16) = ([127, 0, 0, 1], 9080);
/// Hang guard: the kubelet backs off when a container ends again and again.
const LIMIT: Duration = Duration::from_secs(330);
/// How often its health is looked at: the error of the measurement.
const LOOK: Duration = Duration::from_millis(10);

/// One death of a daemon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adoption {
    /// How many guests ran on its node, all through it.
    pub guests: usize,
    /// Seconds from SIGKILL to the next process: the kubelet's part.
    pub restart: f64,
    /// Seconds from the start of that process until it was ready, which it is
    /// once it has adopted every guest.
    pub adopt: f64,
}

/// Kills the node-daemon of a node and waits until the next one has adopted.
pub fn measure(cluster: &Cluster, node: &str) -> Result<Adoption> {
    let lab = cluster.lab()?;
    let guests = Process::on_node(lab, node, QEMU)?;
    let old = Process::only_on_node(lab, node, DAEMON)?;
    let pid = i32::try_from(old.pid).ok().and_then(Pid::from_raw).context("process id 0")?;
    let init = Node::new(lab, lab.node(node)?).init()?.context("the node is off")?;
    let network = PathBuf::from(format!("/proc/{}/ns/net", init.pid));
    kill_process(pid, Signal::KILL).context("kill the node-daemon")?;
    let killed = now();
    let next = wait_for("the next node-daemon", LIMIT, || {
        let found = Process::on_node(lab, node, DAEMON)?;
        Ok(found.into_iter().find(|process| process.pid != old.pid))
    })?;
    let started = next.started()?;
    let ready = thread::spawn(move || wait_until_ready(&network))
        .join()
        .map_err(|_| anyhow!("the look at the daemon's health panicked"))??;
    let after = Process::on_node(lab, node, QEMU)?;
    ensure!(after == guests, "guests did not live on: {guests:?} before, {after:?} after");
    Ok(Adoption { guests: guests.len(), restart: started - killed, adopt: ready - started })
}

/// On a thread of its own, which moves into the node's network for good.
fn wait_until_ready(network: &std::path::Path) -> Result<f64> {
    enter_network(network)?;
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        if is_ready().unwrap_or(false) {
            return Ok(now());
        }
        thread::sleep(LOOK);
    }
    bail!("the next node-daemon was not ready after {} s", LIMIT.as_secs())
}

fn is_ready() -> Result<bool> {
    let second = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(HEALTH), second)?;
    stream.set_read_timeout(Some(second))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
