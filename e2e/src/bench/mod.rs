//! The benchmarks: how long the steps to a running guest take, what they cost
//! the API server, and what each program takes of a machine.
//!
//! Where the machine itself decides (a guest under emulation), the same work
//! without Suigen is measured in the same run, and the ratio is what counts.

mod adoption;
mod audit;
mod builds;
mod by_hand;
mod fleet;
mod machine;
mod memory;
mod networks;
mod process;
mod quiet;
mod report;
mod scale;
mod smaps;
mod statistics;
mod surroundings;
mod table;
mod timeline;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::artifact::cache::Cache;
use crate::progress::step;
use crate::scenario::pinned::Pinned;
use crate::{setup, source_root};
use audit::AuditLog;
use report::Report;
use surroundings::Surroundings;

/// Names of programs, as `/proc/PID/comm` cuts them.
const QEMU: &str = "qemu-system-x86";
const DAEMON: &str = "node-daemon";
const OPERATOR: &str = "operator";
/// The hypervisor that gets every server, so that its daemon is the busiest there can be.
const NODE: &str = "node-a";

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How many servers are brought up at once, one run each.
    #[arg(long, value_delimiter = ',', default_value = "1,20")]
    servers: Vec<usize>,
    /// How long the idle system is watched, in seconds.
    #[arg(long, default_value_t = 120)]
    idle_seconds: u64,
    /// Remove the lab first, so that its start is measured too.
    #[arg(long)]
    fresh: bool,
    /// Measure the networks of a node too, which needs an optimised build.
    #[arg(long)]
    networks: bool,
    /// Write the results to docs/benchmarks.md.
    #[arg(long)]
    write: bool,
}

/// Measures, prints, and writes where that was asked for.
pub fn run(options: &Options) -> Result<()> {
    let most = options.servers.iter().copied().max().unwrap_or_default();
    ensure!(most > 0, "--servers needs numbers above 0");
    let cache = Cache::open()?;
    let tiny = setup::tiny(&cache)?;
    // Before the lab, which would take its share of the machine.
    let measure = || step("measure the networks of a node", networks::measure);
    let networks = options.networks.then(measure).transpose()?;
    let Surroundings { cluster, spans } = surroundings::ready(&cache, &tiny, options.fresh)?;
    let builds = builds::of_cache(&cache)?;
    let mut audit = AuditLog::open(cluster.lab()?)?;
    fleet::prepare(&cluster)?;
    let _pinned = Pinned::to(&cluster, NODE)?;
    step("wait until the system is at rest", || quiet::settle(&audit))?;
    let idle_time = Duration::from_secs(options.idle_seconds);
    let bare = step("watch it idle, without servers", || quiet::idle(&mut audit, idle_time))?;
    let machine = machine::describe(&cluster)?;
    let empty = memory::of_system(&cluster)?;
    let mut scales = Vec::new();
    for &count in &options.servers {
        println!("\n{count} server(s)");
        let with = scale::With { cluster: &cluster, cache: &cache, tiny: &tiny, idle_time };
        scales.push(scale::measure(&with, &mut audit, count, count == most)?);
    }
    let after = memory::of_system(&cluster)?;
    let report = Report { machine, spans, builds, bare, idle_time, empty, after, scales, networks };
    println!("\n{}", report.results());
    if options.write {
        let path = source_root().join("docs/benchmarks.md");
        fs::write(&path, report.page()).context("write docs/benchmarks.md")?;
        println!("written: docs/benchmarks.md");
    }
    Ok(())
}

/// Seconds since 1970: times of this process, of others and of the API compare.
fn now() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}
