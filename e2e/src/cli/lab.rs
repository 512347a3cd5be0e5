//! `e2e lab ...`

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Subcommand;
use suigen_e2e::artifact::cache::Cache;
use suigen_e2e::artifact::set::{Platform, SuigenImages};
use suigen_e2e::lab::fault::{self, Peer, Target};
use suigen_e2e::lab::node::Node;
use suigen_e2e::lab::{self, Lab, Lock, load, logs, status};
use suigen_e2e::progress::step;

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Start all that does not run.
    Up {
        /// How many nodes (0: a control plane alone; default 3).
        #[arg(long)]
        nodes: Option<usize>,
    },
    /// End all of it and remove its files.
    Down,
    /// What runs, what does not, how to get in.
    Status,
    /// Print the path of the kubeconfig: export KUBECONFIG=$(e2e lab kubeconfig)
    Kubeconfig,
    /// A shell on a node, or one command.
    Shell {
        /// The node.
        node: String,
        /// The command; an interactive shell without.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<String>,
    },
    /// List the logs, or show one.
    Logs {
        /// A name from the list, or a part that only one has.
        what: Option<String>,
        /// Go on as it grows.
        #[arg(short, long)]
        follow: bool,
    },
    /// Take a node's or a control plane process's power away at once.
    Off {
        /// A node, or a process of the control plane.
        target: String,
    },
    /// Give the power back.
    On {
        /// A node, or a process of the control plane.
        target: String,
    },
    /// Stop every process of it where it stands.
    Freeze {
        /// A node, a service of it (node-a/kubelet), or a process of the control plane.
        target: String,
    },
    /// Let frozen processes go on.
    Thaw {
        /// What was frozen.
        target: String,
    },
    /// Drop all traffic between a node and a peer.
    Cut {
        /// The node.
        node: String,
        /// api, files, or peer:NODE.
        from: String,
    },
    /// Undo every cut of a node.
    Heal {
        /// The node.
        node: String,
    },
    /// Build the images of operator and node-daemon and import them on every node.
    LoadImages,
}

impl LabCommand {
    pub(crate) fn run(self) -> Result<()> {
        let cache = Cache::open()?;
        let dir = Lab::default_dir(cache.root());
        match self {
            Self::Up { nodes } => {
                let lab = lab::up::up(&dir, nodes, &Platform::ensure(&cache)?)?;
                println!("\nexport KUBECONFIG={}", lab.kubeconfig().display());
            }
            Self::Down => {
                if !lab::down::down(&dir)? {
                    println!("there is no lab in {}", dir.display());
                }
            }
            Self::Status => print!("{}", status::describe(&Lab::open(&dir)?)?),
            Self::Kubeconfig => println!("{}", Lab::open(&dir)?.kubeconfig().display()),
            Self::Shell { node, argv } => shell(&Lab::open(&dir)?, &node, &argv)?,
            Self::Logs { what, follow } => show_logs(&Lab::open(&dir)?, what.as_deref(), follow)?,
            Self::LoadImages => {
                let lab = Lab::open(&dir)?;
                let images = SuigenImages::ensure(&cache)?;
                step("load the images into the nodes", || load::load(&lab, &images.all()))?;
                images.all().iter().for_each(|image| println!("{}", image.reference));
            }
            fault => {
                let lab = Lab::open(&dir)?;
                let _lock = Lock::take(&dir)?;
                fault.carry_out(&lab, &cache)?;
            }
        }
        Ok(())
    }

    fn carry_out(self, lab: &Lab, cache: &Cache) -> Result<()> {
        match self {
            Self::Off { target } => Target::parse(lab, &target)?.off(lab),
            Self::On { target } => {
                let tools = Platform::ensure(cache)?.tools;
                Target::parse(lab, &target)?.on(lab, &tools)
            }
            Self::Freeze { target } => Target::parse(lab, &target)?.freeze(lab),
            Self::Thaw { target } => Target::parse(lab, &target)?.thaw(lab),
            Self::Cut { node, from } => fault::cut(lab, lab.node(&node)?, Peer::parse(lab, &from)?),
            Self::Heal { node } => fault::heal(lab, lab.node(&node)?),
            other => anyhow::bail!("{other:?} is no fault"),
        }
    }
}

fn shell(lab: &Lab, node: &str, argv: &[String]) -> Result<()> {
    let node = Node::new(lab, lab.node(node)?);
    let error = match argv.split_first() {
        Some((program, args)) => node.command(program)?.args(args).exec(),
        None => node.command("bash")?.arg("--login").exec(),
    };
    Err(error).context("enter the node")
}

fn show_logs(lab: &Lab, what: Option<&str>, follow: bool) -> Result<()> {
    let Some(what) = what else {
        for (name, path) in logs::all(lab)? {
            println!("{name:<40} {}", path.display());
        }
        return Ok(());
    };
    let mut tail = Command::new("tail");
    tail.arg("--lines=200").args(follow.then_some("--follow=name")).arg(logs::find(lab, what)?);
    Err(tail.exec()).context("run tail")
}
