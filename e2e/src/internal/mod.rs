//! Commands that the lab runs for itself: the first instructions of its
//! processes and of its nodes, and its two small servers.

pub mod files;
pub mod forward;
pub mod launch;
pub mod mounts;
pub mod node_init;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
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
