//! One number of servers, from nothing to all up and back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::adoption::{self, Adoption};
use super::audit::{AuditLog, Write};
use super::memory::{self, SystemMemory};
use super::smaps::GuestMemory;
use super::timeline::Timeline;
use super::{NODE, by_hand, fleet, quiet};
use crate::artifact::cache::Cache;
use crate::cluster::Cluster;
use crate::progress::step;
use crate::setup::Tiny;

/// What a measurement needs.
#[derive(Debug, Clone, Copy)]
pub struct With<'a> {
    /// The lab's cluster.
    pub cluster: &'a Cluster,
    /// Where the bundle is.
    pub cache: &'a Cache,
    /// What the guests run.
    pub tiny: &'a Tiny,
    /// How long to watch the idle system.
    pub idle_time: Duration,
}

/// What was measured with one number of servers.
#[derive(Debug)]
pub struct Scale {
    /// How many servers.
    pub count: usize,
    /// Seconds from start to guest up, without Suigen.
    pub by_hand: Vec<f64>,
    /// The steps of each server.
    pub timelines: Vec<Timeline>,
    /// Every write until the system was at rest.
    pub up: Vec<Write>,
    /// The memory of each guest's QEMU.
    pub guests: Vec<GuestMemory>,
    /// The memory of Suigen's programs.
    pub system: SystemMemory,
    /// Only of the largest number of servers.
    pub steady: Option<Steady>,
    /// Seconds from the deletion of all servers until nothing of them is left.
    pub gone: f64,
    /// Every write of that.
    pub down: Vec<Write>,
}

/// What was measured while the servers ran.
#[derive(Debug)]
pub struct Steady {
    /// Every write while nothing happened.
    pub idle: Vec<Write>,
    /// The death of the daemon.
    pub adoption: Adoption,
    /// Every write that followed it.
    pub adopted: Vec<Write>,
}

/// Measures with `count` servers, and all that there is to see if `steady`.
pub fn measure(with: &With<'_>, audit: &mut AuditLog, count: usize, steady: bool) -> Result<Scale> {
    let cluster = with.cluster;
    let scratch = cluster.lab()?.path("by-hand");
    let by_hand = step("boot the same guest by hand", || {
        by_hand::boot(with.cache, &scratch, with.tiny, count)
    })?;
    audit.mark()?;
    let timelines =
        step("create servers until every guest is up", || fleet::bring_up(cluster, count))?;
    let up = step("wait until the system is at rest", || quiet::settle(audit))?;
    let guests = timelines.iter().map(|one| guest(cluster, one)).collect::<Result<Vec<_>>>()?;
    let system = memory::of_system(cluster)?;
    let steady = steady.then(|| steadily(with, audit)).transpose()?;
    audit.mark()?;
    let started = Instant::now();
    step("delete every server", || fleet::take_down(cluster))?;
    let gone = started.elapsed().as_secs_f64();
    let down = step("wait until the system is at rest", || quiet::settle(audit))?;
    Ok(Scale { count, by_hand, timelines, up, guests, system, steady, gone, down })
}

fn guest(cluster: &Cluster, timeline: &Timeline) -> Result<GuestMemory> {
    let node = timeline.node.as_deref().context("a server that is up is placed")?;
    GuestMemory::of(fleet::qemu_of(cluster, node, &timeline.uid)?.pid)
}

fn steadily(with: &With<'_>, audit: &mut AuditLog) -> Result<Steady> {
    let idle = step("watch it idle, with servers", || quiet::idle(audit, with.idle_time))?;
    audit.mark()?;
    let adoption = step("kill the node-daemon, wait until the next has adopted", || {
        adoption::measure(with.cluster, NODE)
    })?;
    let adopted = step("wait until the system is at rest", || quiet::settle(audit))?;
    Ok(Steady { idle, adoption, adopted })
}
