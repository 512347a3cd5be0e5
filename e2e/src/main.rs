//! `e2e`: builds, starts, inspects and removes the lab.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use suigen_e2e::artifact::cache::Cache;
use suigen_e2e::artifact::set::{Platform, SuigenImages};
use suigen_e2e::internal::{self, Internal};
use suigen_e2e::lab::{self, Lab};

/// A real Kubernetes cluster with real hypervisors on one machine.
#[derive(Debug, Parser)]
#[command(name = "e2e")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything: tools, root file systems, images.
    Build,
    /// Start, look at and stop the lab.
    Lab {
        #[command(subcommand)]
        command: LabCommand,
    },
    /// What the lab runs for itself.
    #[command(hide = true)]
    Internal {
        #[command(subcommand)]
        command: Internal,
    },
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Start all that does not run.
    Up {
        /// How many nodes (0: a control plane alone; default 3).
        #[arg(long)]
        nodes: Option<usize>,
    },
    /// End all of it and remove its files.
    Down,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Internal { command } => internal::run(command),
        Command::Build => {
            let cache = Cache::open()?;
            Platform::ensure(&cache)?;
            SuigenImages::ensure(&cache).map(|_| ())
        }
        Command::Lab { command } => lab(command),
    }
}

fn lab(command: LabCommand) -> Result<()> {
    let cache = Cache::open()?;
    let dir = Lab::default_dir(cache.root());
    match command {
        LabCommand::Up { nodes } => {
            let lab = lab::up::up(&dir, nodes, &Platform::ensure(&cache)?)?;
            println!("\nexport KUBECONFIG={}", lab.kubeconfig().display());
            Ok(())
        }
        LabCommand::Down => {
            if !lab::down::down(&dir)? {
                println!("there is no lab in {}", dir.display());
            }
            Ok(())
        }
    }
}
