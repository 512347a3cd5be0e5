//! Brings servers up all at once, and takes them down again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use futures::stream::{BoxStream, StreamExt, select};
use kube::api::{Api, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use suigen_crds::SERVER_LABEL;
use suigen_crds::disk::Disk;
use suigen_crds::virtual_server::VirtualServer;

use super::process::Process;
use super::timeline::{Step, Timeline};
use super::{QEMU, now};
use crate::cluster::Cluster;
use crate::scenario;
use crate::scenario::manifest::{Network, Server};

/// Where the servers are.
pub const NAMESPACE: &str = "bench";
/// Their memory: little, so that many fit on any machine.
pub const MEMORY_MIB: u32 = 128;

const CLASS: &str = "bench-1c128m";
/// Hang guard for all servers to be up.
const UP: Duration = Duration::from_secs(900);
/// How often the consoles are looked at: the error of "guest up".
const LOOK: Duration = Duration::from_millis(50);
/// What the guest `tiny` writes to its console when it is up.
pub const UP_MARK: &[u8] = b"tiny: up after ";

/// Every server has one interface, in one network.
const INTERFACE: &str = "networkInterfaces: [{name: eth0, tenantNetworkName: web}]";

/// Applies the namespace, the class and the network of the servers.
pub fn prepare(cluster: &Cluster) -> Result<()> {
    let manifests = format!(
        "---
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: suigen.dev/v1alpha1
kind: ServerClass
metadata: {{name: {CLASS}}}
spec:
  resourceType: BestEffort
  virtual: {{vcpus: 1, memory: {MEMORY_MIB}Mi, cpuFloorMillis: 50}}
"
    );
    scenario::apply(cluster, &manifests)?;
    scenario::apply(cluster, &Network::web(NAMESPACE).yaml())?;
    let network = (NAMESPACE, "tenantnetwork/web");
    scenario::wait(cluster, network, "condition=Ready", Duration::from_secs(60))
}

/// Creates `count` servers at once and follows them until each guest is up.
pub fn bring_up(cluster: &Cluster, count: usize) -> Result<Vec<Timeline>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let names: Vec<String> = (1..=count).map(|number| format!("s-{number}")).collect();
    let mut timelines = runtime.block_on(follow(cluster, &names))?;
    for timeline in &mut timelines {
        let node = timeline.node.as_deref().context("a server that is up is placed")?;
        let qemu = qemu_of(cluster, node, &timeline.uid)?;
        timeline.note(Step::QemuStarted, qemu.started()?);
    }
    Ok(timelines)
}

/// The QEMU of a server.
pub fn qemu_of(cluster: &Cluster, node: &str, uid: &str) -> Result<Process> {
    let mut found = Process::on_node(cluster.lab()?, node, QEMU)?;
    found.retain(|process| process.argument("-uuid") == Some(uid));
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => bail!("{node} runs no QEMU with -uuid {uid}"),
        (_, more) => bail!("{node} runs {} QEMUs with -uuid {uid}", more + 1),
    }
}

/// Deletes every server and waits until it, its disk and its port are gone.
pub fn take_down(cluster: &Cluster) -> Result<()> {
    let namespace = format!("--namespace={NAMESPACE}");
    cluster.kubectl(&[&namespace, "delete", "virtualservers", "--all", "--timeout=300s"])?;
    crate::progress::wait_for("the end of every disk and port", Duration::from_secs(120), || {
        let kinds = "disks,networkports,addressclaims";
        let left = cluster.kubectl(&[&namespace, "get", kinds, "--output=name"])?;
        Ok(left.is_empty().then_some(()))
    })
}

enum Seen {
    Server(Box<VirtualServer>),
    Disk(Box<Disk>),
}

async fn follow(cluster: &Cluster, names: &[String]) -> Result<Vec<Timeline>> {
    let client = cluster.client().await?;
    let mut changes = changes(&client);
    let mut timelines = create(&client, names).await?;
    let mut look = tokio::time::interval(LOOK);
    let end = tokio::time::Instant::now() + UP;
    loop {
        tokio::select! {
            seen = changes.next() => {
                note(&mut timelines, &seen.context("the watch ended")??);
            }
            _ = look.tick() => listen(cluster, &mut timelines)?,
            () = tokio::time::sleep_until(end) => bail!("not every server came up: {}", describe(&timelines)),
        }
        // What starts QEMU leaves no trace in the API; it is looked up afterwards.
        if timelines.iter().all(|one| one.missing() == [Step::QemuStarted]) {
            return Ok(timelines);
        }
    }
}

fn changes(client: &kube::Client) -> BoxStream<'static, Result<Seen>> {
    let servers = Api::<VirtualServer>::namespaced(client.clone(), NAMESPACE);
    let disks = Api::<Disk>::namespaced(client.clone(), NAMESPACE);
    let configuration = watcher::Config::default;
    let servers = watcher(servers, configuration()).applied_objects();
    let disks = watcher(disks, configuration()).applied_objects();
    let servers = servers.map(|one| Ok(Seen::Server(Box::new(one.context("watch the servers")?))));
    let disks = disks.map(|one| Ok(Seen::Disk(Box::new(one.context("watch the disks")?))));
    select(servers, disks).boxed()
}

async fn create(client: &kube::Client, names: &[String]) -> Result<Vec<Timeline>> {
    let api = Api::<VirtualServer>::namespaced(client.clone(), NAMESPACE);
    let api = &api;
    try_join_all(names.iter().map(|name| async move {
        let manifest = Server {
            class: CLASS,
            size: "64Mi",
            spec: &[INTERFACE],
            ..Server::tiny(NAMESPACE, name)
        };
        let server: VirtualServer = serde_yaml::from_str(&manifest.yaml())?;
        let mut timeline = Timeline::new(name);
        timeline.note(Step::Created, now());
        let created = api.create(&PostParams::default(), &server).await;
        let created = created.with_context(|| format!("create {name}"))?;
        timeline.uid = created.metadata.uid.context("a created object has a UID")?;
        Ok(timeline)
    }))
    .await
}

fn note(timelines: &mut [Timeline], seen: &Seen) {
    let at = now();
    let name = match seen {
        Seen::Server(server) => server.metadata.name.as_ref(),
        Seen::Disk(disk) => disk.metadata.labels.as_ref().and_then(|all| all.get(SERVER_LABEL)),
    };
    let Some(timeline) = timelines.iter_mut().find(|one| Some(&one.name) == name) else { return };
    match seen {
        Seen::Server(server) => timeline.saw_server(server, at),
        Seen::Disk(disk) => timeline.saw_disk(disk, at),
    }
}

/// Reads the consoles where their nodes keep them: a way through the API
/// would be measured with it.
fn listen(cluster: &Cluster, timelines: &mut [Timeline]) -> Result<()> {
    for timeline in timelines.iter_mut().filter(|one| !one.has(Step::GuestUp)) {
        let Some(node) = &timeline.node else { continue };
        if is_up(&serial_log(cluster, node, &timeline.uid)?) {
            timeline.note(Step::GuestUp, now());
        }
    }
    Ok(())
}

fn serial_log(cluster: &Cluster, node: &str, uid: &str) -> Result<PathBuf> {
    let state = cluster.lab()?.path("nodes").join(node).join("suigen");
    Ok(state.join("servers").join(uid).join("serial.log"))
}

/// Whether a guest's console, kept in a file, shows that it is up.
pub fn is_up(log: &std::path::Path) -> bool {
    std::fs::read(log).is_ok_and(|text| text.windows(UP_MARK.len()).any(|part| part == UP_MARK))
}

fn describe(timelines: &[Timeline]) -> String {
    let lacking = timelines.iter().filter(|one| one.missing() != [Step::QemuStarted]);
    let lines = lacking.map(|one| format!("{} lacks {:?}", one.name, one.missing()));
    lines.collect::<Vec<_>>().join("; ")
}
