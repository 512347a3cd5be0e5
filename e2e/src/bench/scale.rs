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
    /// Seconds from start to guest up, without Suigen, over all rounds.
    pub by_hand: Vec<f64>,
    /// The steps of each server of each round.
    pub timelines: Vec<Timeline>,
    /// Every write until the system was at rest, in the last round.
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
    let (mut by_hand, mut timelines) = (Vec::new(), Vec::new());
    for _ in 1..rounds(count) {
        let (hand, suigen) = race(with, audit, count)?;
        by_hand.extend(hand);
        timelines.extend(suigen);
        step("delete every server", || fleet::take_down(cluster))?;
        quiet::settle(audit)?;
    }
    let (hand, last) = race(with, audit, count)?;
    let up = step("wait until the system is at rest", || quiet::settle(audit))?;
    let guests = last.iter().map(|one| guest(cluster, one)).collect::<Result<Vec<_>>>()?;
    by_hand.extend(hand);
    timelines.extend(last);
    let system = memory::of_system(cluster)?;
    let steady = steady.then(|| steadily(with, audit)).transpose()?;
    audit.mark()?;
    let started = Instant::now();
    step("delete every server", || fleet::take_down(cluster))?;
    let gone = started.elapsed().as_secs_f64();
    let down = step("wait until the system is at rest", || quiet::settle(audit))?;
    Ok(Scale { count, by_hand, timelines, up, guests, system, steady, gone, down })
}

/// A few servers are few values, and other things run on a machine: the times
/// are taken more than once.
fn rounds(count: usize) -> usize {
    if count < 5 { 3 } else { 1 }
}

/// The same guests without Suigen and with it; the audit log is marked between.
fn race(with: &With<'_>, audit: &mut AuditLog, count: usize) -> Result<(Vec<f64>, Vec<Timeline>)> {
    let scratch = with.cluster.lab()?.path("by-hand");
    let by_hand = step("boot the same guest by hand", || {
        by_hand::boot(with.cache, &scratch, with.tiny, count)
    })?;
    audit.mark()?;
    let timelines =
        step("create servers until every guest is up", || fleet::bring_up(with.cluster, count))?;
    Ok((by_hand, timelines))
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
