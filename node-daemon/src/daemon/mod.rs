//! Puts the parts together, in the order in which they may start:
//! lock, log id, bundles, **adoption**, and only then anything that needs the API.

mod heartbeat;
mod lock;
mod networks;
mod qualify;
mod watches;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use prometheus_client::registry::Registry as Metered;
use suigen_crds::ident::BootId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::args::Args;
use crate::disk::locks::DiskLocks;
use crate::health::http::{self, Health};
use crate::host::bundle;
use crate::host::paths::Paths;
use crate::metrics::Metrics;
use crate::network::feed::TenantNetworks;
use crate::operator_client::Operator;
use crate::report::runtime::explain;
use crate::right::decide::Me;
use crate::right::log_id;
use crate::storage::image_tool::ImageTool;
use crate::vm::adopt;
use crate::vm::ledger::Ledger;
use crate::vm::node::{Node, Offer};
use crate::vm::registry::Registry;
use crate::{console, node_certificate};

/// Runs the daemon until SIGTERM or SIGINT. Guests are left alone, whatever
/// ends it.
///
/// # Errors
/// When the node's state cannot be used: a second daemon holds it, it is
/// damaged, or the node cannot be looked at.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let metrics = Metrics::default();
    let mut metered = Metered::default();
    metrics.register(&mut metered);
    let health = Health::new(metered);
    let parts = TaskTracker::new();
    let probes = http::bind(args.health_address).await.context("listen for probes")?;
    parts.spawn(http::serve(probes, health.clone(), stop.clone()));

    let paths = Paths::new(&args.state_dir, &args.run_dir, &args.cgroup_root);
    make_directories(&paths)?;
    let Some(_lock) = lock::hold(&paths.lock(), &stop).await? else { return Ok(()) };
    let me = Me { node: args.node_name.clone(), log: log_id::ensure(&paths.log_id())? };
    let api = Api::prepare(me, args.namespace.clone(), metrics.clone()).await?;
    let (offer, offered) = watch::channel(None);
    let node = Arc::new(Node {
        api,
        paths,
        boot: boot_id()?,
        operator: Operator {
            address: args.operator_address.clone(),
            token: args.token_file.clone(),
        },
        metrics,
        ledger: Ledger::default(),
        networks: TenantNetworks::default(),
        disks: DiskLocks::default(),
        bundles: OnceLock::new(),
        tool: OnceLock::new(),
        offer: offered,
        stop: stop.clone(),
    });

    let registry = Registry::new(node.clone());
    adopt::adopt(&registry)?;
    health.adopted();
    tracing::info!(node = %node.api.me.node, log = %node.api.me.log, "adopted; ready");
    lay_down_bundles(&args.bundles, &node).await;
    start_parts(&parts, &args, &node, &registry, offer);

    parts.close();
    parts.wait().await;
    registry.join().await;
    tracing::info!("stopped; guests go on");
    Ok(())
}

fn start_parts(
    parts: &TaskTracker,
    args: &Args,
    node: &Arc<Node>,
    registry: &Registry,
    offer: watch::Sender<Option<Arc<Offer>>>,
) {
    let (identity, identified) = watch::channel(None);
    let console = console::serve(args.console_address, node.clone(), identified);
    parts.spawn(async move {
        if let Err(error) = console.await {
            tracing::error!(%error, "no consoles");
        }
    });
    parts.spawn(watches::watch(registry.clone()));
    // Each of these may be left off at any point.
    let stop = &node.stop;
    let certificate = node_certificate::keep(node.clone(), identity);
    parts.spawn(stop.clone().run_until_cancelled_owned(certificate));
    parts.spawn(stop.clone().run_until_cancelled_owned(heartbeat::beat(node.clone())));
    let (ability, able) = watch::channel(None);
    parts.spawn(networks::keep(args.clone(), node.clone(), ability));
    let qualify = qualify::keep(args.clone(), node.clone(), offer, able);
    parts.spawn(stop.clone().run_until_cancelled_owned(qualify));
    let sweep = watches::sweep_images(node.clone(), args.image_retention_seconds);
    parts.spawn(stop.clone().run_until_cancelled_owned(sweep));
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

fn make_directories(paths: &Paths) -> anyhow::Result<()> {
    let dirs = [paths.rights(), paths.servers(), paths.volumes(), paths.images(), paths.bundles()];
    for dir in dirs.into_iter().chain([paths.runs(), paths.cgroup().to_owned()]) {
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    }
    Ok(())
}

fn boot_id() -> anyhow::Result<BootId> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = std::fs::read_to_string(path).context("read the boot id")?;
    Ok(BootId::try_from(text.trim().to_owned())?)
}

/// Without a new bundle old ones still serve; what is missing shows in the
/// Hypervisor's status.
async fn lay_down_bundles(source: &Path, node: &Node) {
    let (source, paths) = (source.to_owned(), node.paths.clone());
    let lay = move || {
        bundle::lay_down(&source, &paths).unwrap_or_else(|error| {
            tracing::error!(error = %explain(&error), "bundles not laid down");
            bundle::installed(&paths).unwrap_or_default()
        })
    };
    let bundles = tokio::task::spawn_blocking(lay).await.unwrap_or_default();
    tracing::info!(?bundles, "bundles");
    if let Some(bundle) = bundles.first() {
        let _ = node.tool.set(ImageTool::new(node.paths.clone(), &bundle.digest));
    }
    let _ = node.bundles.set(bundles);
}
