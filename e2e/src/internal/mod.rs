//! Commands that the lab runs for itself: the first instructions of its
//! processes and of its nodes, and its two small servers.

pub mod files;
pub mod forward;
pub mod launch;
pub mod mounts;
pub mod node_init;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;

/// `e2e internal ...`
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// Write a record, enter a cgroup and a network namespace, then become the program.
    Launch {
        /// Where the record goes.
        #[arg(long)]
        record: PathBuf,
        /// The cgroup to enter.
        #[arg(long)]
        cgroup: PathBuf,
        /// The network namespace to enter (a link below /proc).
        #[arg(long)]
        netns: Option<PathBuf>,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// Be process 1 of a node.
    NodeInit {
        /// The node's description.
        #[arg(long)]
        spec: PathBuf,
    },
    /// Pass connections from the host into the lab.
    Forward {
        /// Where to listen, on the host's loopback.
        #[arg(long)]
        listen: SocketAddr,
        /// Where to connect to, in the lab.
        #[arg(long)]
        to: SocketAddr,
        /// The network namespace of the lab's side.
        #[arg(long)]
        netns: PathBuf,
    },
    /// Serve files over HTTP.
    Files {
        /// The directory that is served.
        #[arg(long)]
        dir: PathBuf,
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
    },
}

/// The program `e2e` itself: this one, or the one that cargo builds along with
/// the tests that start a lab.
pub fn program() -> Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    near(&this).with_context(|| format!("no program e2e near {} (cargo build)", this.display()))
}

/// Programs lie in `debug/`, tests in `debug/deps/`.
fn near(this: &Path) -> Option<PathBuf> {
    let places = this.ancestors().skip(1).take(2).map(|dir| dir.join("e2e"));
    places.into_iter().find(|path| path.is_file())
}

/// Runs one of them; returns only when it ended or failed.
pub fn run(command: Internal) -> Result<()> {
    match command {
        Internal::Launch { record, cgroup, netns, argv } => {
            launch::launch(&record, &cgroup, netns.as_deref(), &argv)
        }
        Internal::NodeInit { spec } => node_init::run(&spec),
        Internal::Forward { listen, to, netns } => forward::run(listen, to, &netns),
        Internal::Files { dir, listen } => files::run(dir, listen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_from_itself_and_from_a_test() {
        let dir = tempfile::tempdir().unwrap();
        let debug = dir.path().join("debug");
        let (program, test) = (debug.join("e2e"), debug.join("deps/scenarios-1a2b"));
        assert_eq!(near(&test), None);
        std::fs::create_dir_all(debug.join("deps")).unwrap();
        std::fs::write(&program, "").unwrap();
        assert_eq!(near(&test).as_ref(), Some(&program));
        assert_eq!(near(&program), Some(program));
    }
}
