//! The node-daemon, and the jail that it locks programs into.

use std::io::IsTerminal;

use suigen_node_daemon::args::{Args, LogFormat, Role};
use suigen_node_daemon::{daemon, hypervisor};
use tracing_subscriber::EnvFilter;

/// What is logged unless `SUIGEN_LOG` says otherwise. The client's own word for
/// every failed attempt is left out: whoever asked says so once, with a reason.
const LOG: &str = "info,kube_client::client::builder=off";

fn main() -> anyhow::Result<()> {
    match Role::parse() {
        // Namespaces are joined by single-threaded processes only, so this comes
        // before any runtime.
        Role::Jail(jail) => hypervisor::qemu::jail::enter(&jail.spec),
        Role::Daemon(args) => run(*args),
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("SUIGEN_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(daemon::run(args));
    // What still waits for the disk or the network must not keep the daemon.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
