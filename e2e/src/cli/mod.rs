//! The command line of `e2e`.

mod lab;
mod test;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use suigen_e2e::artifact::cache::Cache;
use suigen_e2e::artifact::set::{Platform, SuigenImages, everything};
use suigen_e2e::bench;
use suigen_e2e::cluster::{Cluster, install};
use suigen_e2e::demo;
use suigen_e2e::internal::{self, Internal};
use suigen_e2e::lab::Lab;

/// A real Kubernetes cluster with real hypervisors on one machine.
///
/// Everything it builds is kept in $SUIGEN_CACHE (default: suigen in the
/// user's cache directory), the lab in $SUIGEN_LAB (default: lab in the cache).
#[derive(Debug, Parser)]
#[command(name = "e2e")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything: tools, root file systems, guest, images.
    Build,
    /// Start, look at, break and stop the lab.
    Lab {
        #[command(subcommand)]
        command: lab::LabCommand,
    },
    /// Build Suigen and install or upgrade it in the lab with Helm.
    Install {
        /// A cluster that exists, in place of the lab; it must have the images.
        #[arg(long, env = "SUIGEN_KUBECONFIG")]
        kubeconfig: Option<PathBuf>,
        /// A value of the chart suigen, as Helm's --set.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        values: Vec<String>,
    },
    /// From nothing to a running server, step by step; the lab stays up.
    Demo,
    /// Measure Suigen in the lab.
    Bench(bench::Options),
    /// Run every test of the workspace, with a lab for those that need one.
    Test {
        /// Passed on to cargo test.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// What the lab runs for itself.
    #[command(hide = true)]
    Internal {
        #[command(subcommand)]
        command: Internal,
    },
}

impl Arguments {
    /// Does what was asked for.
    pub fn run(self) -> Result<()> {
        match self.command {
            // Process 1 of a node must not depend on a cache or an environment.
            Command::Internal { command } => internal::run(command),
            Command::Build => everything(&Cache::open()?).map(|_| ()),
            Command::Demo => demo::run(),
            Command::Bench(options) => bench::run(&options),
            Command::Test { arguments } => test::run(&arguments),
            Command::Lab { command } => command.run(),
            Command::Install { kubeconfig, values } => install(kubeconfig, &values),
        }
    }
}

fn install(kubeconfig: Option<PathBuf>, values: &[String]) -> Result<()> {
    let cache = Cache::open()?;
    let platform = Platform::ensure(&cache)?;
    let cluster = match kubeconfig {
        Some(path) => Cluster::existing(path, &platform.tools),
        None => {
            let lab = Lab::open(&Lab::default_dir(cache.root()))?;
            Cluster::of_lab(&lab, &platform.tools)
        }
    };
    install::install(&cluster, &SuigenImages::ensure(&cache)?, values)
}
