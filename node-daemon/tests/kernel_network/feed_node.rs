//! A node whose feed a test tells what watches would tell.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use suigen_crds::ident::{Epoch, Uid};
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::network_port::{NetworkPort, PortState};
use suigen_node_daemon::api::watch::Seen;
use suigen_node_daemon::metrics::Metrics;
use suigen_node_daemon::network;
use suigen_node_daemon::network::feed::{self, Ability, Asks, Input, TenantNetworks, Wires};
use suigen_node_daemon::network::netlink::netns::Namespace;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::lab::{UPLINK, shell, wait_until};

const UNDERLAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const TAP: &str = "st-0a00000a";

/// A node, whatever daemon runs on it.
pub struct Scene {
    pub host: Namespace,
    directory: TempDir,
    pub residents: Arc<Mutex<BTreeSet<Uid>>>,
}

impl Scene {
    pub fn new() -> Self {
        let host = Namespace::scratch().unwrap();
        shell(
            &host,
            &format!(
                "ip link add {UPLINK} mtu 1600 type veth peer name far; ip link set {UPLINK} up"
            ),
        );
        shell(&host, &format!("ip address add {UNDERLAY}/24 dev {UPLINK}"));
        Self { host, directory: TempDir::new().unwrap(), residents: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn kept(&self) -> PathBuf {
        self.path("network/desired.json")
    }

    pub fn in_tenants(&self, command: &str) -> String {
        shell(&Namespace::open(&self.path("netns/suigen")).unwrap(), command)
    }

    pub fn links(&self) -> String {
        self.in_tenants("ip -o -br link")
    }

    /// Waits until the kernel has noticed that the tap is open: it says so a
    /// while later.
    pub fn wait_for_carrier(&self) {
        let forwards = || self.in_tenants(&format!("bridge link show dev {TAP}"));
        wait_until("the port forwards", || forwards().contains("state forwarding"));
        std::thread::sleep(Duration::from_millis(500));
    }

    /// All that the namespace says changed while something is done.
    pub fn changes(&self, meanwhile: impl FnOnce()) -> String {
        let file = self.path("changes");
        let monitor =
            format!("timeout 20 ip monitor link neigh > {} 2>&1 & echo $!", file.display());
        let pid = self.in_tenants(&format!("{{ {monitor}; }}"));
        std::thread::sleep(Duration::from_millis(300));
        meanwhile();
        std::thread::sleep(Duration::from_millis(300));
        shell(&self.host, &format!("kill {}", pid.trim()));
        std::fs::read_to_string(file).unwrap()
    }

    pub fn daemon(&self) -> Daemon {
        let (told, inputs) = unbounded_channel();
        let (asks, asked) = watch::channel(Asks::default());
        let (ability, able) = watch::channel(None);
        let networks = TenantNetworks::default();
        let residents = self.residents.clone();
        let config = feed::Config {
            node: "node-a".to_owned().try_into().unwrap(),
            address: UNDERLAY.into(),
            port: 4789,
            plane: network::Config {
                namespace: self.path("netns/suigen"),
                nft: PathBuf::from("nft"),
            },
            kept: self.kept(),
            residents: Arc::new(move || Some(residents.lock().unwrap().clone())),
        };
        let wires = Wires {
            inputs,
            asks,
            ability,
            networks: networks.clone(),
            metrics: Metrics::default(),
        };
        let (stop, host) = (CancellationToken::new(), self.host.clone());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let work = || runtime.unwrap().block_on(feed::drive(config, wires, stopped));
            host.run(work).unwrap();
        });
        Daemon { told, asked, able, networks, stop, thread: Some(thread) }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = Namespace::unbind(&self.path("netns/suigen"));
    }
}

/// A feed that runs.
pub struct Daemon {
    told: UnboundedSender<Input>,
    asked: watch::Receiver<Asks>,
    pub able: watch::Receiver<Option<Ability>>,
    pub networks: TenantNetworks,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    pub fn tell(&self, input: Input) {
        self.told.send(input).unwrap();
    }

    pub fn list_mine(&self, ports: Vec<NetworkPort>) {
        self.tell(Input::Mine(Seen::Listing));
        ports.into_iter().for_each(|port| self.tell(Input::Mine(object(port))));
        self.tell(Input::Mine(Seen::Listed));
    }

    /// Everything that an API server would list at first.
    pub fn list_all(&self) {
        self.list_mine(vec![port(10, "node-a", 1)]);
        let hypervisor = json!({
            "apiVersion": "suigen.dev/v1alpha1", "kind": "Hypervisor",
            "metadata": {"name": "node-b", "uid": uid(0x70)},
            "spec": {"reserved": {"memory": "1Gi", "cpuMillis": 0}},
            "status": {"underlay": {"address": "192.0.2.2", "mtu": 1600}},
        });
        let network = json!({
            "apiVersion": "suigen.dev/v1alpha1", "kind": "TenantNetwork",
            "metadata": {"name": "web", "namespace": "acme", "uid": uid(0x40)},
            "spec": {"subnets": [{"name": "v4", "cidr": "10.20.0.0/24"}]},
            "status": {"vni": 5001, "mtu": 1450},
        });
        self.tell(Input::Hypervisor(Seen::Listing));
        self.tell(Input::Hypervisor(object(serde_json::from_value(hypervisor).unwrap())));
        self.tell(Input::Hypervisor(Seen::Listed));
        let of = |seen| Input::Network("acme".into(), seen);
        self.tell(of(Seen::Listing));
        self.tell(of(object(serde_json::from_value(network).unwrap())));
        self.tell(of(Seen::Listed));
        let of = |seen| Input::Port("acme".into(), seen);
        self.tell(of(Seen::Listing));
        self.tell(of(object(port(10, "node-a", 1))));
        self.tell(of(object(port(11, "node-b", 1))));
        self.tell(of(Seen::Listed));
    }

    pub fn asks(&self) -> Asks {
        self.asked.borrow().clone()
    }

    pub fn says(&self, n: u8) -> Option<PortState> {
        self.asks().reports.get(&uid(n)).and_then(|(_, status)| status.state)
    }

    /// As a server that is about to start.
    pub fn attach(&self, epoch: i64) -> Result<Vec<feed::Attached>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (server, interfaces) = (uid(0x8a), [interface()]);
        let attached = self.networks.attach(&server, Epoch(epoch), &interfaces);
        runtime.block_on(attached).map_err(|trouble| trouble.reason)
    }

    pub fn end(mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn object<K>(object: K) -> Seen<K> {
    Seen::Object(Box::new(object))
}

pub fn uid(n: u8) -> Uid {
    format!("0a0000{n:02x}-0000-4000-8000-000000000000").try_into().unwrap()
}

pub fn port_object(n: u8, node: &str, epoch: i64) -> Value {
    json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "NetworkPort",
        "metadata": {"name": format!("web-{n}.eth0"), "namespace": "acme", "uid": uid(n)},
        "spec": {"tenantNetworkName": "web", "networkUid": uid(0x40), "vni": 5001,
            "serverName": format!("web-{n}"), "serverUid": uid(0x80 + n),
            "interfaceName": "eth0", "macAddress": format!("02:00:00:00:00:{n:02x}"),
            "addresses": [format!("10.20.0.{n}")],
            "binding": {"nodeName": node, "epoch": epoch}},
    })
}

pub fn port(n: u8, node: &str, epoch: i64) -> NetworkPort {
    serde_json::from_value(port_object(n, node, epoch)).unwrap()
}

pub fn terminating(n: u8) -> NetworkPort {
    let mut port = port_object(n, "node-a", 1);
    port["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    serde_json::from_value(port).unwrap()
}

fn interface() -> PlacedInterface {
    PlacedInterface {
        name: "eth0".into(),
        tenant_network_name: "web".into(),
        network_uid: uid(0x40),
        vni: 5001.try_into().unwrap(),
        mtu: 1450,
        mac_address: "02:00:00:00:00:0a".parse().unwrap(),
        addresses: Vec::new(),
    }
}
