//! The command line. Every flag has a twin in the environment, which is what
//! the chart sets.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use suigen_crds::ident::NodeName;
use suigen_crds::quantity::Bytes;

/// What this process is to be.
#[derive(Debug)]
pub enum Role {
    /// The daemon.
    Daemon(Box<Args>),
    /// A jail, and then the program in it. The daemon calls itself so.
    Jail(Jail),
}

impl Role {
    /// Reads the command line; one that is wrong ends the process with usage.
    #[must_use]
    pub fn parse() -> Self {
        let mut line = std::env::args_os();
        if line.nth(1).is_some_and(|first| first == "jail") {
            return Self::Jail(Jail::parse_from(std::iter::once("jail".into()).chain(line)));
        }
        Self::Daemon(Box::new(Args::parse()))
    }
}

/// Enters the jail that a file describes and becomes the program in it.
#[derive(Debug, Parser)]
pub struct Jail {
    /// The description.
    #[arg(long)]
    pub spec: PathBuf,
}

/// Acts on one node: qualifies it, runs QEMU, keeps the run right.
#[derive(Debug, Clone, Parser)]
#[command(name = "node-daemon", version)]
pub struct Args {
    /// Name of the node.
    #[arg(long, env = "SUIGEN_NODE_NAME", value_parser = node_name)]
    pub node_name: NodeName,
    /// Namespace of the system.
    #[arg(long, env = "SUIGEN_NAMESPACE", default_value = "suigen-system")]
    pub namespace: String,
    /// Address of the node at which the operator reaches the consoles and where
    /// tunnels of tenants' networks end.
    #[arg(long, env = "SUIGEN_NODE_ADDRESS")]
    pub node_address: std::net::IpAddr,
    /// What must survive a reboot.
    #[arg(long, env = "SUIGEN_STATE_DIR", default_value = "/var/lib/suigen")]
    pub state_dir: PathBuf,
    /// Sockets of what runs in this boot.
    #[arg(long, env = "SUIGEN_RUN_DIR", default_value = "/run/suigen")]
    pub run_dir: PathBuf,
    /// The cgroup (v2) below which each run has its own.
    #[arg(long, env = "SUIGEN_CGROUP_ROOT", default_value = "/sys/fs/cgroup/suigen")]
    pub cgroup_root: PathBuf,
    /// Bundles that come with this daemon.
    #[arg(long, env = "SUIGEN_BUNDLES", default_value = "/bundles")]
    pub bundles: PathBuf,
    /// The operator's HTTPS server, `host:port`.
    #[arg(long, env = "SUIGEN_OPERATOR_ADDRESS", default_value = "suigen-operator:8443")]
    pub operator_address: String,
    /// The token with which the daemon addresses the operator.
    #[arg(long, env = "SUIGEN_TOKEN_FILE", default_value = "/var/run/secrets/suigen/token")]
    pub token_file: PathBuf,
    /// Where probes and metrics are served.
    #[arg(long, env = "SUIGEN_HEALTH_ADDRESS", default_value = "[::]:9080")]
    pub health_address: SocketAddr,
    /// Where consoles are served to the operator.
    #[arg(long, env = "SUIGEN_CONSOLE_ADDRESS", default_value = "[::]:9443")]
    pub console_address: SocketAddr,
    /// For a Hypervisor that does not exist yet: may it emulate in software?
    #[arg(long, env = "SUIGEN_INITIAL_SOFTWARE_EMULATION", default_value = "Deny")]
    pub initial_software_emulation: InitialEmulation,
    /// For a Hypervisor that does not exist yet: memory that stays for the node.
    #[arg(long, env = "SUIGEN_INITIAL_RESERVED_MEMORY", default_value = "2Gi")]
    pub initial_reserved_memory: Bytes,
    /// For a Hypervisor that does not exist yet: CPU time that stays for the
    /// node, in thousandths of a CPU.
    #[arg(long, env = "SUIGEN_INITIAL_RESERVED_CPU_MILLIS", default_value_t = 500, value_parser = clap::value_parser!(i32).range(0..=1_000_000))]
    pub initial_reserved_cpu_millis: i32,
    /// The UDP port of the tunnels between nodes (VXLAN); the same on all.
    #[arg(long, env = "SUIGEN_VXLAN_PORT", default_value_t = 4789, value_parser = clap::value_parser!(u16).range(1..))]
    pub vxlan_port: u16,
    /// How long an image that no volume uses is kept, in seconds.
    #[arg(long, env = "SUIGEN_IMAGE_RETENTION_SECONDS", default_value_t = 3600)]
    pub image_retention_seconds: u64,
    /// The form of the log.
    #[arg(long, env = "SUIGEN_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// Whether a new Hypervisor may emulate in software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum InitialEmulation {
    /// Never.
    Deny,
    /// Where KVM does not work.
    Allow,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For machines.
    Json,
    /// For people.
    Text,
}

fn node_name(text: &str) -> Result<NodeName, suigen_crds::ident::InvalidIdent> {
    NodeName::try_from(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
        Jail::command().debug_assert();
    }

    #[test]
    fn a_bad_node_name_is_refused_and_defaults_are_those_of_the_manual() {
        let line = ["node-daemon", "--node-name", "node-a", "--node-address", "10.77.0.11"];
        let args = Args::try_parse_from(line).unwrap();
        assert_eq!(args.node_name.as_str(), "node-a");
        assert_eq!(args.initial_reserved_memory, "2Gi".parse().unwrap());
        let bad = ["node-daemon", "--node-name", "Node", "--node-address", "10.77.0.11"];
        assert!(Args::try_parse_from(bad).unwrap_err().to_string().contains("node name"));
    }
}
