//! Wiring: one watch and store a kind, one queue and reconciler a kind that is
//! decided on. Nothing is decided before every store has had a full list.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::disk::Disk;
use suigen_crds::disk_class::DiskClass;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::server_class::ServerClass;
use suigen_crds::server_image::ServerImage;
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::Args;
use crate::chain::Chain;
use crate::context::{Context, MANAGER};
use crate::hypervisor::heartbeat::Heartbeats;
use crate::memory::{Created, Pace, Patience, Refusals, Written};
use crate::metrics::{Metrics, count};
use crate::network_segment::HeldUp;
use crate::outcome::Outcome;
use crate::tenant_network::allocate::VniRange;
use crate::watch::Stores;
use crate::watch::feed::{Change, Feed};
use crate::watch::unreadable::Unreadable;
use crate::watch::wake::{self, Queues, Wake, networks};
use crate::{
    address_claim, disk, hypervisor, network_port, network_segment, tenant_network, virtual_server,
    write,
};

/// Objects of one kind that are looked at at the same time. A look is a few
/// round trips; so a burst of servers is not held up by one slow answer.
const CONCURRENCY: u16 = 16;
/// For how long looks that are under way may go on after the stop.
const GRACE: Duration = Duration::from_secs(8);

/// What every task of this module gets.
#[derive(Clone)]
struct Shared {
    ctx: Arc<Context>,
    stop: CancellationToken,
}

struct Writers {
    servers: Writer<VirtualServer>,
    disks: Writer<Disk>,
    server_classes: Writer<ServerClass>,
    disk_classes: Writer<DiskClass>,
    images: Writer<ServerImage>,
    hypervisors: Writer<Hypervisor>,
    tenant_networks: Writer<TenantNetwork>,
    network_segments: Writer<NetworkSegment>,
    network_ports: Writer<NetworkPort>,
    address_claims: Writer<AddressClaim>,
    leases: Writer<Lease>,
}

/// Watches and decides until told to stop. False when a part ended before that,
/// which is a bug: the process is to end, and another replica to take over.
pub async fn run(
    client: Client,
    (args, vnis): (&Args, VniRange),
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> bool {
    let (stores, writers) = stores();
    let (wake, queues) = Wake::new();
    let reporter = Reporter { controller: MANAGER.into(), instance: Some(args.identity.clone()) };
    let ctx = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        stores,
        unreadable: Unreadable::default(),
        wake,
        ledger: Default::default(),
        written: Written::default(),
        created: Created::default(),
        patience: Patience::default(),
        pace: Pace::default(),
        held_up: HeldUp::default(),
        refusals: Refusals::default(),
        vnis,
        heartbeats: Heartbeats::default(),
        metrics,
        errands: TaskTracker::new(),
    });
    let shared = Shared { ctx, stop: stop.clone() };
    let mut tasks = feeds(&shared, &args.namespace, writers);
    if all_listed(&shared.ctx.stores, &stop).await {
        tracing::info!("every kind is listed: deciding");
        decide(&shared, queues, &mut tasks);
    }
    let told = tokio::select! {
        () = stop.cancelled() => true,
        ended = tasks.join_next() => {
            tracing::error!(?ended, "a part ended unasked");
            false
        }
    };
    shared.ctx.errands.close();
    let ended = async {
        while tasks.join_next().await.is_some() {}
        shared.ctx.errands.wait().await;
    };
    if told && tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!("some looks did not end in time");
    }
    told
}

fn stores() -> (Stores, Writers) {
    let (servers, servers_in) = store();
    let (disks, disks_in) = store();
    let (server_classes, server_classes_in) = store();
    let (disk_classes, disk_classes_in) = store();
    let (images, images_in) = store();
    let (hypervisors, hypervisors_in) = store();
    let (tenant_networks, tenant_networks_in) = store();
    let (network_segments, network_segments_in) = store();
    let (network_ports, network_ports_in) = store();
    let (address_claims, address_claims_in) = store();
    let (leases, leases_in) = store();
    let writers = Writers {
        servers: servers_in,
        disks: disks_in,
        server_classes: server_classes_in,
        disk_classes: disk_classes_in,
        images: images_in,
        hypervisors: hypervisors_in,
        tenant_networks: tenant_networks_in,
        network_segments: network_segments_in,
        network_ports: network_ports_in,
        address_claims: address_claims_in,
        leases: leases_in,
    };
    let stores = Stores {
        servers,
        disks,
        server_classes,
        disk_classes,
        images,
        hypervisors,
        tenant_networks,
        network_segments,
        network_ports,
        address_claims,
        leases,
    };
    (stores, writers)
}

fn feeds(shared: &Shared, namespace: &str, writers: Writers) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let t = &mut tasks;
    let w = writers;
    feed(t, shared, None, ("VirtualServer", w.servers), wake::on_server);
    feed(t, shared, None, ("Disk", w.disks), wake::on_disk);
    feed(t, shared, None, ("ServerClass", w.server_classes), wake::on_server_class);
    feed(t, shared, None, ("DiskClass", w.disk_classes), wake::on_disk_class);
    feed(t, shared, None, ("ServerImage", w.images), wake::on_image);
    feed(t, shared, None, ("Hypervisor", w.hypervisors), wake::on_hypervisor);
    feed(t, shared, None, ("TenantNetwork", w.tenant_networks), networks::on_tenant_network);
    feed(t, shared, None, ("NetworkSegment", w.network_segments), networks::on_network_segment);
    feed(t, shared, None, ("NetworkPort", w.network_ports), networks::on_network_port);
    feed(t, shared, None, ("AddressClaim", w.address_claims), networks::on_address_claim);
    feed(t, shared, Some(namespace), ("Lease", w.leases), wake::on_lease);
    tasks
}

fn feed<K>(
    tasks: &mut JoinSet<()>,
    shared: &Shared,
    namespace: Option<&str>,
    (kind, writer): (&'static str, Writer<K>),
    wake: impl Fn(&Context, Change<K>) + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let Shared { ctx, stop } = shared;
    let feed = Feed::new(kind, &ctx.client, namespace, writer);
    tasks.spawn(feed.run(ctx.clone(), stop.clone(), wake));
}

async fn all_listed(stores: &Stores, stop: &CancellationToken) -> bool {
    let Stores {
        servers,
        disks,
        server_classes,
        disk_classes,
        images,
        hypervisors,
        tenant_networks,
        network_segments,
        network_ports,
        address_claims,
        leases,
    } = stores;
    let all = async {
        servers.wait_until_ready().await.is_ok()
            && disks.wait_until_ready().await.is_ok()
            && server_classes.wait_until_ready().await.is_ok()
            && disk_classes.wait_until_ready().await.is_ok()
            && images.wait_until_ready().await.is_ok()
            && hypervisors.wait_until_ready().await.is_ok()
            && tenant_networks.wait_until_ready().await.is_ok()
            && network_segments.wait_until_ready().await.is_ok()
            && network_ports.wait_until_ready().await.is_ok()
            && address_claims.wait_until_ready().await.is_ok()
            && leases.wait_until_ready().await.is_ok()
    };
    tokio::select! {
        listed = all => listed,
        () = stop.cancelled() => false,
    }
}

fn decide(shared: &Shared, queues: Queues, tasks: &mut JoinSet<()>) {
    let q = queues;
    let s = |kind| (kind, shared.clone());
    let st = shared.ctx.stores.clone();
    tasks.spawn(work(s("VirtualServer"), st.servers, q.servers, virtual_server::reconcile));
    tasks.spawn(work(s("Disk"), st.disks, q.disks, disk::reconcile));
    tasks.spawn(work(s("Hypervisor"), st.hypervisors, q.hypervisors, hypervisor::reconcile));
    let (networks, segments) = (st.tenant_networks, st.network_segments);
    tasks.spawn(work(s("TenantNetwork"), networks, q.networks, tenant_network::reconcile));
    tasks.spawn(work(s("NetworkSegment"), segments, q.segments, network_segment::reconcile));
    tasks.spawn(work(s("NetworkPort"), st.network_ports, q.ports, network_port::reconcile));
    tasks.spawn(work(s("AddressClaim"), st.address_claims, q.claims, address_claim::reconcile));
}

async fn work<K, F>(
    (kind, shared): (&'static str, Shared),
    store: Store<K>,
    queue: UnboundedReceiver<ObjectRef<K>>,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Copy + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Outcome, write::Error>> + Send + 'static,
{
    let Shared { ctx, stop } = shared;
    let look = move |object: Arc<K>, ctx: Arc<Context>| {
        let metrics = ctx.metrics.clone();
        reconcile(object, ctx)
            .map(move |outcome| {
                outcome.map(|outcome| {
                    count(&metrics.reconciles, kind, outcome.word());
                    if let Outcome::Wait { reason, after } = &outcome {
                        tracing::debug!(kind, reason, ?after, "waits");
                    }
                    outcome.action()
                })
            })
            .boxed()
    };
    let failed = move |_: Arc<K>, error: &write::Error, ctx: Arc<Context>| {
        count(&ctx.metrics.failures, kind, error.reason());
        if error.is_race() {
            tracing::debug!(kind, %error, "lost a race");
            return Action::requeue(Duration::from_secs(1));
        }
        if let Some(said) = error.refusal() {
            tracing::warn!(kind, %error, said, "refused by the API server");
            return Action::requeue(Duration::from_secs(5));
        }
        tracing::warn!(kind, error = %Chain(error), "look");
        Action::requeue(Duration::from_secs(2))
    };
    let queue = queue.map(Ok::<_, Infallible>).take_until(stop.cancelled_owned());
    let config = Config::default().concurrency(CONCURRENCY);
    // An object that left the store while it was queued is no error.
    applier(look, failed, ctx, store, Box::pin(queue), config).for_each(|_| async {}).await;
}
