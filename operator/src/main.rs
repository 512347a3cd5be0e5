//! Suigen's operator: it decides, and holds every decision in objects.
//!
//! Reading order: [`controllers`] (wiring) → [`virtual_server`], [`disk`],
//! [`hypervisor`] (one folder a kind: observe, decide, apply, status) →
//! [`tenant_network`], [`network_segment`], [`network_port`], [`address_claim`] →
//! [`placement`] (pure engine) → [`node_api`] (certificates, consoles).

mod address_claim;
mod args;
mod chain;
mod context;
mod controllers;
mod disk;
mod events;
mod finalizer;
#[cfg(test)]
mod fixtures;
mod http;
mod hypervisor;
mod lease;
mod memory;
mod metrics;
mod network_port;
mod network_segment;
mod node_api;
mod outcome;
mod placement;
mod reasons;
mod schema_check;
mod sweep;
mod tenant_network;
mod virtual_server;
mod watch;
mod write;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{Args, LogFormat};
use crate::chain::Chain;
use crate::http::Readiness;
use crate::lease::Election;
use crate::metrics::Metrics;
use crate::tenant_network::allocate::VniRange;

fn main() -> ExitCode {
    let args = Args::parse();
    start_log(&args);
    let vnis = VniRange::new(args.vni_first, args.vni_last).context("read --vni-first, --vni-last");
    match vnis.and_then(|vnis| run(&args, vnis)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator ends");
            ExitCode::FAILURE
        }
    }
}

fn start_log(args: &Args) {
    let filter = tracing_subscriber::EnvFilter::new(&args.log);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
}

#[tokio::main]
async fn run(args: &Args, vnis: VniRange) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("install the TLS provider: another one is installed"))?;
    let client = connect().await?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    let stop = stop_on_signal()?;

    readiness.wait("schema", "the CRDs were not checked yet".into());
    readiness.wait("api", "the certificate authority is not loaded yet".into());
    let health = http::serve(args.health_address, readiness.clone(), metrics.clone(), stop.clone());
    let health = tokio::spawn(or_stop(health, stop.clone()));
    let api = node_api::run(
        args.api_address,
        client.clone(),
        args.namespace.clone(),
        metrics.clone(),
        (readiness.clone(), stop.clone()),
    );
    let api = tokio::spawn(or_stop(api, stop.clone()));
    let led = if schema_is_new_enough(&client, &readiness, &stop).await {
        lead((args, vnis), client, metrics, &stop).await
    } else {
        Ok(())
    };
    // Without the lease, the process ends at once and whatever is open with it.
    led?;
    stop.cancel();
    api.await.context("end of the node API")?.context("serve the node API")?;
    // A prober that keeps its connection open does not hold up the end.
    if let Ok(ended) = tokio::time::timeout(Duration::from_secs(1), health).await {
        ended.context("end of the health server")?.context("serve health")?;
    }
    Ok(())
}

/// A watch gets a bookmark every minute, so a connection that is silent for
/// longer than this died without a word.
const SILENCE: Duration = Duration::from_secs(180);

async fn connect() -> anyhow::Result<Client> {
    let mut config = kube::Config::infer().await.context("find the API server")?;
    config.read_timeout = Some(SILENCE);
    Client::try_from(config).context("prepare the way to the API server")
}

/// Runs a part without which the operator is of no use: if it fails, all stops.
async fn or_stop<E>(
    part: impl Future<Output = Result<(), E>>,
    stop: CancellationToken,
) -> Result<(), E> {
    part.await.inspect_err(|_| stop.cancel())
}

/// Waits until the CRDs are new enough. False when told to stop before.
async fn schema_is_new_enough(
    client: &Client,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> bool {
    loop {
        match schema_check::check(client).await {
            Ok(()) => {
                readiness.ready("schema");
                return true;
            }
            Err(error) => {
                let reason = Chain(&error).to_string();
                tracing::warn!(%reason, "nothing is written");
                readiness.wait("schema", reason);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

/// Wins the lease, decides while it holds, gives it up.
async fn lead(
    (args, vnis): (&Args, VniRange),
    client: Client,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut election = Election::new(client.clone(), &args.namespace, args.identity.clone());
    if !election.win(stop).await {
        return Ok(());
    }
    tracing::info!(identity = args.identity, "leads");
    metrics.leader.set(1);
    let deciding = stop.child_token();
    let mut controllers = tokio::spawn({
        let (metrics, deciding) = (metrics.clone(), deciding.clone());
        let args = args.clone();
        async move { controllers::run(client, (&args, vnis), metrics, deciding).await }
    });
    let kept = tokio::select! {
        kept = election.hold(stop) => kept,
        ended = &mut controllers => anyhow::bail!("deciding ended unasked: {ended:?}"),
    };
    metrics.leader.set(0);
    if !kept {
        // No farewell: whatever is under way ends with the process, before
        // another replica may lead.
        anyhow::bail!("the leader lease is lost");
    }
    deciding.cancel();
    let told = controllers.await.context("end of the controllers")?;
    anyhow::ensure!(told, "deciding ended unasked");
    election.release().await.context("release the leader lease")
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        token.cancel();
    });
    Ok(stop)
}
