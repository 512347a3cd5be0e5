//! What tenants' networks cost a node, as JSON on the standard output.
//!
//! Works in network namespaces of its own, which vanish with it, so it may be
//! killed at any time. Needs root, `ip`, `nft`, `mount` and `unshare`;
//! `./e2e/bench --networks` runs it and writes what it prints into
//! `docs/benchmarks.md`. By hand:
//!
//! ```text
//! cargo build --release --workspace --example network_figures
//! target/release/examples/network_figures --networks 1,100
//! ```

mod node;
mod size;
mod traffic;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde_json::json;

/// Set in the process that has mounts of its own.
const INSIDE: &str = "SUIGEN_FIGURES_INSIDE";

#[derive(Parser)]
struct Args {
    /// How many networks a node hosts when the cost of one is measured.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,4000")]
    networks: Vec<u32>,
    /// How often an address is pointed at another node.
    #[arg(long, default_value_t = 500)]
    moves: u32,
    /// Remote ports of the network that is built anew.
    #[arg(long, default_value_t = 10_000)]
    remotes: u32,
    /// Rounds of traffic, each with and without our rules.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

fn main() -> Result<()> {
    if std::env::var_os(INSIDE).is_none() {
        return Err(with_own_mounts());
    }
    let args = Args::parse();
    // Directories in here are gone with the mounts, however this ends.
    let directory = std::env::temp_dir();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&directory).status()?;
    ensure!(mounted.success(), "mount over {}: {mounted}", directory.display());
    let create = size::create(&args.networks)?;
    let (moves, rebuild) = (size::moves(args.moves)?, size::rebuild(args.remotes)?);
    let (traffic, ratios) = traffic::measure(args.rounds)?;
    let figures = json!({
        "create": create,
        "re_point_p50_us": moves.0,
        "re_point_p99_us": moves.1,
        "rebuilt_remote_ports": args.remotes,
        "rebuild_s": rebuild,
        "throughput_ratio_to_bare": ratios.0,
        "latency_ratio_to_bare": ratios.1,
        "traffic": traffic,
    });
    println!("{figures:#}");
    Ok(())
}

/// Becomes a process whose mounts, the names of namespaces among them, end with it.
fn with_own_mounts() -> anyhow::Error {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return anyhow::Error::new(error).context("find the program"),
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(own);
    let error = command.args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
    anyhow::Error::new(error).context("run unshare")
}

/// The value below which a share of the values is; the values are sorted first.
fn percentile(values: &mut [f64], share: usize) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * share).div_ceil(100).saturating_sub(1);
    values.get(at).copied().context("nothing was measured")
}
