//! The feed, told in memory what watches would tell, on the real kernel.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use suigen_crds::hypervisor::FeatureState;
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
const TAP: &str = "st-0a00000a";

/// A node, whatever daemon runs on it.
struct Scene {
    host: Namespace,
    directory: TempDir,
    residents: Arc<Mutex<BTreeSet<Uid>>>,
}

impl Scene {
    fn new() -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn kept(&self) -> PathBuf {
        self.path("network/desired.json")
    }

    fn in_tenants(&self, command: &str) -> String {
        shell(&Namespace::open(&self.path("netns/suigen")).unwrap(), command)
    }

    fn links(&self) -> String {
        self.in_tenants("ip -o -br link")
    }

    /// Waits until the kernel has noticed that the tap is open: it says so a
    /// while later.
    fn wait_for_carrier(&self) {
        let forwards = || self.in_tenants(&format!("bridge link show dev {TAP}"));
        wait_until("the port forwards", || forwards().contains("state forwarding"));
        std::thread::sleep(Duration::from_millis(500));
    }

    /// All that the namespace says changed while something is done.
    fn changes(&self, meanwhile: impl FnOnce()) -> String {
        let file = self.path("changes");
        let monitor = format!("timeout 20 ip monitor link neigh > {} 2>&1 & echo $!", file.display());
        let pid = self.in_tenants(&format!("{{ {monitor}; }}"));
        std::thread::sleep(Duration::from_millis(300));
        meanwhile();
        std::thread::sleep(Duration::from_millis(300));
        shell(&self.host, &format!("kill {}", pid.trim()));
        std::fs::read_to_string(file).unwrap()
    }

    fn daemon(&self) -> Daemon {
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
struct Daemon {
    told: UnboundedSender<Input>,
    asked: watch::Receiver<Asks>,
    able: watch::Receiver<Option<Ability>>,
    networks: TenantNetworks,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    fn tell(&self, input: Input) {
        self.told.send(input).unwrap();
    }

    fn list_mine(&self, ports: Vec<NetworkPort>) {
        self.tell(Input::Mine(Seen::Listing));
        ports.into_iter().for_each(|port| self.tell(Input::Mine(object(port))));
        self.tell(Input::Mine(Seen::Listed));
    }

    /// Everything that an API server would list at first.
    fn list_all(&self) {
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

    fn asks(&self) -> Asks {
        self.asked.borrow().clone()
    }

    fn says(&self, n: u8) -> Option<PortState> {
        self.asks().reports.get(&uid(n)).and_then(|(_, status)| status.state)
    }

    /// As a server that is about to start.
    fn attach(&self, epoch: i64) -> Result<Vec<feed::Attached>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (server, interfaces) = (uid(0x8a), [interface()]);
        let attached = self.networks.attach(&server, Epoch(epoch), &interfaces);
        runtime.block_on(attached).map_err(|trouble| trouble.reason)
    }

    fn end(mut self) {
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

fn object<K>(object: K) -> Seen<K> {
    Seen::Object(Box::new(object))
}

fn uid(n: u8) -> Uid {
    format!("0a0000{n:02x}-0000-4000-8000-000000000000").try_into().unwrap()
}

fn port_object(n: u8, node: &str, epoch: i64) -> Value {
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

fn port(n: u8, node: &str, epoch: i64) -> NetworkPort {
    serde_json::from_value(port_object(n, node, epoch)).unwrap()
}

fn terminating(n: u8) -> NetworkPort {
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

#[test]
fn kernel_a_port_is_served_from_its_objects_to_its_end() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    daemon.list_all();
    let attached = daemon.attach(1).unwrap();
    assert_eq!((attached[0].name.as_str(), attached[0].mtu), ("eth0", 1450));
    assert_eq!(daemon.attach(2).unwrap_err(), "PortNotBound");
    let ability = daemon.able.borrow().clone().unwrap();
    assert_eq!(ability.underlay.unwrap().mtu, 1600);
    assert!(ability.features.iter().all(|feature| feature.state == FeatureState::Present));
    let fdb = scene.in_tenants("bridge fdb show dev sx-5001");
    assert!(fdb.contains("02:00:00:00:00:0b dst 192.0.2.2"), "{fdb}");

    // The server is deleted, its guest still runs.
    scene.residents.lock().unwrap().insert(uid(0x8a));
    daemon.tell(Input::Mine(object(terminating(10))));
    daemon.networks.left(&uid(0x8a));
    std::thread::sleep(Duration::from_millis(500));
    assert!(scene.links().contains(TAP));
    assert_eq!(daemon.says(10), None);
    drop(attached);
    scene.residents.lock().unwrap().clear();
    daemon.networks.left(&uid(0x8a));
    wait_until("the port is reported", || daemon.says(10) == Some(PortState::Removed));
    let links = scene.links();
    assert!(!links.contains(TAP) && links.contains("sg-5001"), "{links}");
}

#[test]
fn kernel_a_restart_without_the_api_changes_nothing() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    daemon.list_all();
    let guest = daemon.attach(1).unwrap();
    scene.wait_for_carrier();
    daemon.end();
    let before = scene.links();
    let mut again = None;
    let changes = scene.changes(|| {
        let daemon = scene.daemon();
        wait_until("the node was looked at", || daemon.able.borrow().is_some());
        std::thread::sleep(Duration::from_millis(700));
        again = Some(daemon);
    });
    assert_eq!(changes, "");
    let daemon = again.unwrap();
    // The API comes back, and the port is not in its list: no proof.
    daemon.list_mine(vec![]);
    wait_until("the port is asked for", || daemon.asks().confirm.contains_key(&uid(10)));
    assert_eq!(scene.links(), before);
    daemon.tell(Input::Confirmed(uid(10), None));
    wait_until("the tap is gone", || !scene.links().contains(TAP));
    drop(guest);
}

#[test]
fn kernel_without_facts_nothing_is_torn_down_before_all_was_listed() {
    let scene = Scene::new();
    let daemon = scene.daemon();
    daemon.list_all();
    let guest = daemon.attach(1).unwrap();
    scene.wait_for_carrier();
    daemon.end();
    std::fs::write(scene.kept(), "{ spoiled").unwrap();
    let before = scene.links();
    let daemon = scene.daemon();
    daemon.tell(Input::Mine(Seen::Listing));
    daemon.tell(Input::Hypervisor(Seen::Listing));
    daemon.tell(Input::Hypervisor(Seen::Listed));
    wait_until("the node was looked at", || daemon.able.borrow().is_some());
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(scene.links(), before);
    assert!(scene.path("network/desired.unreadable").exists());
    // Now it is known that there is nothing.
    daemon.list_mine(vec![]);
    wait_until("all is gone", || !scene.links().contains("5001"));
    drop(guest);
}

#[test]
fn kernel_what_somebody_else_has_is_reported_and_taken_back() {
    let scene = Scene::new();
    shell(&scene.host, "ip link add theirs type vxlan id 5001 dstport 4789; ip link set theirs up");
    let daemon = scene.daemon();
    daemon.list_all();
    assert_eq!(daemon.attach(1).unwrap_err(), "TakenBySomebodyElse");
    wait_until("trouble is reported", || daemon.says(10) == Some(PortState::Failed));
    let (_, status) = daemon.asks().reports[&uid(10)].clone();
    assert!(status.message.as_ref().unwrap().contains("sx-5001"), "{status:?}");
    let mut port = port_object(10, "node-a", 1);
    port["status"] = json!(status);
    daemon.tell(Input::Mine(object(serde_json::from_value(port).unwrap())));
    wait_until("it is said once", || daemon.says(10).is_none());
    shell(&scene.host, "ip link delete theirs");
    wait_until("it is taken back", || daemon.says(10) == Some(PortState::Ready));
    drop(daemon.attach(1).unwrap());
}
