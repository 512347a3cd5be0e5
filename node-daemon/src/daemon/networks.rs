//! Connects the feed of the tenants' networks with the API: watches that tell
//! it, and the reads and writes that it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::ident::Uid;
use suigen_crds::network_port::{NetworkPort, NetworkPortStatus};
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::tenant_network::TenantNetwork;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::read::retry;
use crate::api::{Api, WriteError};
use crate::args::Args;
use crate::host::paths::Paths;
use crate::hypervisor::qemu::process;
use crate::network;
use crate::network::feed::{self, Ability, Asks, Input, Wires};
use crate::report::runtime::explain;
use crate::vm::node::Node;

/// How long a write may take to come back through a watch before it is taken
/// for lost and done again.
const ECHO: Duration = Duration::from_secs(30);
/// How often a port that no watch names is read.
const CONFIRM: Duration = Duration::from_secs(5);

/// Hosts tenants' networks until the daemon stops; they stay.
pub async fn keep(args: Args, node: Arc<Node>, ability: watch::Sender<Option<Ability>>) {
    let (sender, inputs) = unbounded_channel();
    let (asks, asked) = watch::channel(Asks::default());
    let config = config(&args, &node);
    let wires = Wires {
        inputs,
        asks,
        ability,
        networks: node.networks.clone(),
        metrics: node.metrics.clone(),
    };
    let stop = &node.stop;
    let answering = answer(node.api.clone(), asked.clone(), sender.clone());
    let answering = stop.run_until_cancelled(answering);
    tokio::join!(
        feed::drive(config, wires, stop.clone()),
        watch_all(&node.api, &sender, stop),
        watch_namespaces(&node.api, asked, &sender, stop),
        answering,
    );
}

fn config(args: &Args, node: &Node) -> feed::Config {
    let paths = node.paths.clone();
    feed::Config {
        node: node.api.me.node.clone(),
        address: args.node_address,
        port: args.vxlan_port,
        plane: network::Config {
            namespace: node.paths.network_namespace(),
            nft: PathBuf::from("nft"),
        },
        kept: node.paths.network_facts(),
        residents: Arc::new(move || residents(&paths)),
    }
}

/// The servers that have a process here, by their cgroups: whoever started it.
fn residents(paths: &Paths) -> Option<BTreeSet<Uid>> {
    match process::find(paths) {
        Ok(found) => {
            let alive = found.into_iter().filter(|found| !found.pids.is_empty());
            Some(alive.map(|found| found.server).collect())
        }
        Err(error) => {
            tracing::warn!(reason = error.reason(), error = %explain(&error), "no look at the servers' processes");
            None
        }
    }
}

/// Watches what the node must know wherever its servers are.
async fn watch_all(api: &Api, inputs: &UnboundedSender<Input>, stop: &CancellationToken) {
    // The feed hears until it ends, and it ends when these do.
    let tell = |input| drop(inputs.send(input));
    let mine = format!("spec.binding.nodeName={}", api.me.node);
    let ports = api.watch::<NetworkPort>(&mine, stop.clone(), |seen| tell(Input::Mine(seen)));
    let hypervisors =
        api.watch::<Hypervisor>("", stop.clone(), |seen| tell(Input::Hypervisor(seen)));
    let releasing = "status.phase=Releasing";
    let segments =
        api.watch::<NetworkSegment>(releasing, stop.clone(), |seen| tell(Input::Segment(seen)));
    tokio::join!(ports, hypervisors, segments);
}

/// Watches the namespaces that the feed asks for, and no others.
async fn watch_namespaces(
    api: &Api,
    mut asks: watch::Receiver<Asks>,
    inputs: &UnboundedSender<Input>,
    stop: &CancellationToken,
) {
    let mut watched: BTreeMap<String, (CancellationToken, JoinHandle<()>)> = BTreeMap::new();
    loop {
        let wanted = asks.borrow_and_update().namespaces.clone();
        let gone: Vec<String> =
            watched.keys().filter(|namespace| !wanted.contains(*namespace)).cloned().collect();
        for namespace in gone {
            if let Some((stop, task)) = watched.remove(&namespace) {
                stop.cancel();
                // One that is asked for again must not be told of by two.
                let _ = task.await;
            }
        }
        for namespace in wanted {
            watched.entry(namespace.clone()).or_insert_with(|| {
                let stop = stop.child_token();
                let task = watch_namespace(api.clone(), namespace, inputs.clone(), stop.clone());
                (stop, tokio::spawn(task))
            });
        }
        let changed = stop.run_until_cancelled(asks.changed()).await;
        if !matches!(changed, Some(Ok(()))) {
            break;
        }
    }
    for (stop, task) in watched.into_values() {
        stop.cancel();
        let _ = task.await;
    }
}

async fn watch_namespace(
    api: Api,
    namespace: String,
    inputs: UnboundedSender<Input>,
    stop: CancellationToken,
) {
    let tell = |input| drop(inputs.send(input));
    let ports = api.watch_namespace::<NetworkPort>(&namespace, stop.clone(), |seen| {
        tell(Input::Port(namespace.clone(), seen));
    });
    let networks = api.watch_namespace::<TenantNetwork>(&namespace, stop, |seen| {
        tell(Input::Network(namespace.clone(), seen));
    });
    tokio::join!(ports, networks);
}

/// What was written, until it is not asked for any more.
#[derive(Debug, Default)]
struct Written {
    reports: BTreeMap<Uid, (NetworkPortStatus, Instant)>,
    torn_down: BTreeMap<Uid, Instant>,
}

/// Does what is asked until nobody asks any more.
async fn answer(api: Api, mut asks: watch::Receiver<Asks>, inputs: UnboundedSender<Input>) {
    let mut written = Written::default();
    let mut failures = 0;
    loop {
        let asked = asks.borrow_and_update().clone();
        let done =
            read_ports(&api, &asked, &inputs).await & write(&api, &asked, &mut written).await;
        if !done {
            failures += 1;
            tokio::time::sleep(retry(failures)).await;
            continue;
        }
        failures = 0;
        let pause = if asked.confirm.is_empty() { ECHO } else { CONFIRM };
        tokio::select! {
            changed = asks.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn read_ports(api: &Api, asked: &Asks, inputs: &UnboundedSender<Input>) -> bool {
    let mut done = true;
    for (uid, port) in &asked.confirm {
        match api.read_port(&port.namespace, &port.name).await {
            Ok(found) => drop(inputs.send(Input::Confirmed(uid.clone(), found.map(Box::new)))),
            Err(error) => {
                tracing::warn!(
                    namespace = port.namespace, name = port.name,
                    reason = error.reason(), error = %explain(&error), "port not read"
                );
                done = false;
            }
        }
    }
    done
}

async fn write(api: &Api, asked: &Asks, written: &mut Written) -> bool {
    written.reports.retain(|uid, _| asked.reports.contains_key(uid));
    written.torn_down.retain(|uid, _| asked.torn_down.contains_key(uid));
    let mut done = true;
    for (uid, (port, status)) in &asked.reports {
        let recent =
            |(last, at): &(NetworkPortStatus, Instant)| last == status && at.elapsed() < ECHO;
        if written.reports.get(uid).is_some_and(recent) {
            continue;
        }
        let (namespace, name) = (port.namespace.as_str(), port.name.as_str());
        if succeeded(api.write_port((namespace, name), uid, status).await, name) {
            tracing::info!(
                namespace,
                name,
                state = status.state.map(tracing::field::debug),
                reason = status.reason,
                "port reported"
            );
            written.reports.insert(uid.clone(), (status.clone(), Instant::now()));
        } else {
            done = false;
        }
    }
    for (uid, name) in &asked.torn_down {
        if written.torn_down.get(uid).is_some_and(|at| at.elapsed() < ECHO) {
            continue;
        }
        if succeeded(api.write_torn_down(name, uid).await, name) {
            tracing::info!(name, "network torn down");
            written.torn_down.insert(uid.clone(), Instant::now());
        } else {
            done = false;
        }
    }
    done
}

fn succeeded(result: Result<(), WriteError>, name: &str) -> bool {
    match result {
        // The watch tells of it.
        Ok(()) | Err(WriteError::Gone) => true,
        Err(error) => {
            tracing::warn!(name, reason = error.reason(), error = %explain(&error), "status not written");
            false
        }
    }
}

#[cfg(test)]
#[path = "networks_tests.rs"]
mod tests;
