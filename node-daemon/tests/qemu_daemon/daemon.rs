//! A daemon of one test: all tasks, no watches; what a watch would tell, the
//! test tells.

use std::sync::{Arc, OnceLock};

use kube::Config;
use serde_json::{Value, json};
use suigen_crds::hypervisor::{Acceleration, Bundle};
use suigen_crds::ident::Uid;
use suigen_node_daemon::api::Api;
use suigen_node_daemon::disk::locks::DiskLocks;
use suigen_node_daemon::hypervisor::qemu::process;
use suigen_node_daemon::metrics::Metrics;
use suigen_node_daemon::network::feed::TenantNetworks;
use suigen_node_daemon::operator_client::Operator;
use suigen_node_daemon::right::decide::Me;
use suigen_node_daemon::right::log_id;
use suigen_node_daemon::vm::adopt;
use suigen_node_daemon::vm::event::{Event, Glimpse};
use suigen_node_daemon::vm::ledger::Ledger;
use suigen_node_daemon::vm::node::{Node, Offer};
use suigen_node_daemon::vm::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::FakeApi;
use crate::web::Web;
use crate::workshop::{Workshop, environment, uid, wait_for};

pub const SERVER: &str = "/apis/suigen.dev/v1alpha1/namespaces/acme/virtualservers/web-1";
pub const DISK: &str = "/apis/suigen.dev/v1alpha1/namespaces/acme/disks/web-1-root";

/// Server, disk, API and node of one test.
pub struct Scene {
    pub shop: Workshop,
    pub api: FakeApi,
    pub server: Uid,
    pub disk: Uid,
    pub memory: i64,
    pub operator: Operator,
}

impl Scene {
    /// A server with a disk, placed under epoch 1. None where the bundle or the
    /// guest is not given, which is said.
    pub async fn new() -> Option<Self> {
        let shop = Workshop::new()?;
        let tiny = environment("SUIGEN_TEST_TINY")?;
        let filter = tracing_subscriber::EnvFilter::from_env("SUIGEN_LOG");
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer();
        // Another test of this process may have been first.
        let _ = log.try_init();
        let (server, disk) = (uid(1), uid(2));
        for dir in [shop.paths.rights(), shop.paths.servers(), shop.paths.runs()] {
            std::fs::create_dir_all(dir).unwrap();
        }
        let log = log_id::ensure(&shop.paths.log_id()).unwrap();
        let web = Web::serve(tiny.parent().unwrap());
        let api = FakeApi::serve().await;
        api.put(DISK, disk_object(&server, &disk, &web, &tiny));
        api.put(SERVER, server_object(&server, &disk, log.as_str()));
        let operator =
            Operator { address: "127.0.0.1:1".into(), token: shop.paths.run().join("token") };
        Some(Self { shop, api, server, disk, memory: 1 << 32, operator })
    }

    pub fn daemon(&self) -> Daemon {
        let mut config = Config::new(format!("http://{}", self.api.address).parse().unwrap());
        config.default_namespace = "suigen-system".into();
        let log = log_id::ensure(&self.shop.paths.log_id()).unwrap();
        let me = Me { node: "node-a".to_owned().try_into().unwrap(), log };
        let metrics = Metrics::default();
        let api = Api::new(config, me, "suigen-system".into(), metrics.clone()).unwrap();
        api.allow_writes();
        let bundle = Bundle { digest: self.shop.bundle.clone(), qemu_version: "10".into() };
        let offer = Offer {
            acceleration: Acceleration::SoftwareEmulation,
            memory_bytes: self.memory,
            guarantees: false,
            bundle: Some(bundle.digest.clone()),
        };
        let stop = CancellationToken::new();
        let node = Arc::new(Node {
            api,
            paths: self.shop.paths.clone(),
            boot: "0a000000-0000-4000-8000-00000000000b".to_owned().try_into().unwrap(),
            operator: self.operator.clone(),
            metrics,
            ledger: Ledger::default(),
            networks: TenantNetworks::default(),
            disks: DiskLocks::default(),
            bundles: OnceLock::from(vec![bundle]),
            tool: OnceLock::from(self.shop.tool.clone()),
            offer: watch::channel(Some(Arc::new(offer))).1,
            stop: stop.clone(),
        });
        let registry = Registry::new(node);
        adopt::adopt(&registry).unwrap();
        Daemon { registry, stop }
    }

    pub fn runtime(&self) -> Value {
        self.api.get(SERVER)["status"]["runtime"].clone()
    }

    /// `state reason` of everything that was reported.
    pub fn reports(&self) -> Vec<String> {
        let said = |write: Value| {
            let runtime = &write["runtime"];
            let reason = runtime["reason"].as_str().unwrap_or("-");
            format!("{} {reason}", runtime["state"].as_str().unwrap())
        };
        self.api.writes(SERVER).into_iter().map(said).collect()
    }

    pub fn wait_for_state(&self, state: &str) {
        wait_for(state, || self.runtime()["state"] == state);
    }

    /// Process ids of the server's QEMU.
    pub fn pids(&self) -> Vec<i32> {
        process::find(&self.shop.paths).unwrap().into_iter().flat_map(|found| found.pids).collect()
    }
}

pub struct Daemon {
    pub registry: Registry,
    stop: CancellationToken,
}

impl Daemon {
    /// Tells what a watch would.
    pub fn see(&self, scene: &Scene) {
        let object = serde_json::from_value(scene.api.get(SERVER)).unwrap();
        self.registry.tell(&scene.server, Event::ObjectSeen(Box::new(Glimpse::of(&object))));
    }

    pub fn wake(&self, scene: &Scene) {
        self.registry.tell(&scene.server, Event::Woken);
    }

    /// Ends it as a SIGTERM would.
    pub async fn end(self) {
        self.stop.cancel();
        self.registry.join().await;
    }
}

fn server_object(server: &Uid, disk: &Uid, log: &str) -> Value {
    json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "VirtualServer",
        "metadata": {"name": "web-1", "namespace": "acme", "uid": server, "generation": 1},
        "spec": {"serverClassName": "b", "powerState": "PoweredOn", "restartPolicy": "Always",
            "bootDiskName": "root", "disks": [{"name": "root", "diskName": "web-1-root"}]},
        "status": {"placement": {"nodeName": "node-a", "epoch": 1, "walId": log,
            "class": {"name": "b", "resourceType": "BestEffort", "vcpus": 1,
                "memoryBytes": 256 << 20, "cpuFloorMillis": 100},
            "firmware": "Bios",
            "disks": [{"name": "root", "diskName": "web-1-root", "diskUid": disk}]}},
    })
}

fn disk_object(server: &Uid, disk: &Uid, web: &Web, tiny: &std::path::Path) -> Value {
    json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "Disk",
        "metadata": {"name": "web-1-root", "namespace": "acme", "uid": disk, "generation": 1},
        "spec": {"size": "1Gi", "diskClassName": "local"},
        "status": {"nodeName": "node-a", "attachEpoch": 1,
            "attachment": {"serverName": "web-1", "serverUid": server, "serverEpoch": 1,
                "attachEpoch": 1},
            "source": {"backend": "Local", "image": {
                "url": web.url(&tiny.file_name().unwrap().to_string_lossy()),
                "sha256": web.sha256(tiny), "format": "Qcow2", "firmware": "Bios"}}},
    })
}
