//! Two nodes with an underlay between them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use suigen_crds::ident::Uid;
use suigen_node_daemon::network::dataplane::Report;
use suigen_node_daemon::network::desired::{Network, Port, RemotePort, Underlay};
use suigen_node_daemon::network::ident::{LinkName, MacAddress, Vni};
use suigen_node_daemon::network::netlink::netns::Namespace;
use suigen_node_daemon::network::tap::{self, Framing};
use suigen_node_daemon::network::{Config, DataPlane, Desired};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::guest::{Guest, PATIENCE};

pub const MTU: u16 = 1500;
pub const UPLINK: &str = "uplink";

/// A node: a namespace with an underlay address, and our data plane in it.
pub struct Node {
    pub host: Namespace,
    pub underlay: Underlay,
    pub plane: DataPlane,
    pub runtime: Runtime,
    config: Config,
    _directory: TempDir,
}

impl Node {
    fn start(address: Ipv4Addr) -> Self {
        let directory = TempDir::new().unwrap();
        let namespace = directory.path().join("netns/suigen");
        let config = Config { namespace, nft: PathBuf::from("nft") };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (runtime, host) = (runtime.unwrap(), Namespace::scratch().unwrap());
        let plane = open(&runtime, &host, &config);
        let underlay = Underlay { address, mtu: 1600, port: 4789 };
        Self { host, underlay, plane, runtime, config, _directory: directory }
    }

    /// As a daemon that starts on a node where one ran before.
    pub fn restart(&mut self) {
        self.plane = open(&self.runtime, &self.host, &self.config);
    }

    pub fn desired(&self, networks: Vec<Network>) -> Desired {
        let (desired, refused) = Desired::admit(self.underlay, networks);
        assert!(refused.is_empty(), "{refused:?}");
        desired
    }

    pub fn reconcile(&self, desired: &Desired) -> Report {
        self.runtime.block_on(self.plane.reconcile(desired)).unwrap()
    }

    /// Reconciles and insists that all went well.
    pub fn host_networks(&self, networks: Vec<Network>) {
        let report = self.reconcile(&self.desired(networks));
        assert!(report.is_complete(), "{report:?}");
    }

    pub fn guest(&self, port: &Port) -> Guest {
        let name = LinkName::tap(&port.uid);
        let fd = tap::attach(self.plane.namespace(), &name, Framing::Plain).unwrap();
        // A port forwards only once the kernel has noticed that it is in use.
        let forwards = || self.in_tenants(&format!("bridge link show dev {name}"));
        wait_until("the port forwards", || forwards().contains("state forwarding"));
        Guest::new(fd, port)
    }

    pub fn in_host(&self, command: &str) -> String {
        shell(&self.host, command)
    }

    pub fn in_tenants(&self, command: &str) -> String {
        shell(self.plane.namespace(), command)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = Namespace::unbind(&self.config.namespace);
    }
}

fn open(runtime: &Runtime, host: &Namespace, config: &Config) -> DataPlane {
    host.run(|| runtime.block_on(DataPlane::open(config))).unwrap().unwrap()
}

/// Runs a line of shell in a namespace; gives what it wrote.
pub fn shell(namespace: &Namespace, line: &str) -> String {
    let output = namespace.run(|| Command::new("sh").args(["-ec", line]).output());
    let output = output.unwrap().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits, with a bound, until something is so.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Two nodes.
pub struct Lab {
    pub a: Node,
    pub b: Node,
}

impl Lab {
    pub fn start() -> Self {
        let a = Node::start(Ipv4Addr::new(192, 0, 2, 1));
        let b = Node::start(Ipv4Addr::new(192, 0, 2, 2));
        connect(&a, &b);
        Self { a, b }
    }

    /// A tenant with a guest on each node: 10 and 11, as every tenant's.
    pub fn tenant(&self, number: u32) -> Tenant {
        Tenant::new(number, self.a.underlay.address, self.b.underlay.address)
    }

    /// Sets up tenants on both nodes.
    pub fn host(&self, tenants: &[&Tenant]) {
        self.a.host_networks(tenants.iter().map(|tenant| tenant.on_a.clone()).collect());
        self.b.host_networks(tenants.iter().map(|tenant| tenant.on_b.clone()).collect());
    }
}

fn connect(a: &Node, b: &Node) {
    // A veth pair needs names of both namespaces: the threads' own files.
    use std::os::fd::{AsFd, AsRawFd};
    let other = format!("/proc/{}/fd/{}", std::process::id(), b.host.as_fd().as_raw_fd());
    let (mtu, kind) = (a.underlay.mtu, "type veth peer name");
    a.in_host(&format!("ip link add {UPLINK} mtu {mtu} {kind} {UPLINK} mtu {mtu} netns {other}"));
    for node in [a, b] {
        let address = node.underlay.address;
        node.in_host(&format!(
            "ip address add {address}/24 dev {UPLINK}; ip link set {UPLINK} up; ip link set lo up"
        ));
    }
}

/// A network as the two nodes see it.
pub struct Tenant {
    pub vni: Vni,
    pub on_a: Network,
    pub on_b: Network,
}

impl Tenant {
    fn new(number: u32, a: Ipv4Addr, b: Ipv4Addr) -> Self {
        let vni = Vni::try_from(5000 + number).unwrap();
        let (first, second) = (port(number, 10), port(number, 11));
        let remote = |port: &Port, vtep| RemotePort { mac: port.mac, vtep };
        let network = |ports: Vec<Port>, remotes| Network {
            vni,
            uid: uid(number, 0),
            mtu: MTU,
            ports,
            remotes,
        };
        Self {
            vni,
            on_a: network(vec![first.clone()], vec![remote(&second, b)]),
            on_b: network(vec![second], vec![remote(&first, a)]),
        }
    }

    /// Gives a port to the node a.
    pub fn with_port_on_a(mut self, port: &Port, a: Ipv4Addr) -> Self {
        self.on_a.ports.push(port.clone());
        self.on_b.remotes.push(RemotePort { mac: port.mac, vtep: a });
        self
    }

    pub fn port_a(&self) -> &Port {
        &self.on_a.ports[0]
    }

    pub fn port_b(&self) -> &Port {
        &self.on_b.ports[0]
    }

    /// The names of the links of this network on the node a, or b.
    pub fn links(&self, network: &Network) -> Vec<String> {
        let taps = network.ports.iter().map(|port| LinkName::tap(&port.uid));
        let names = taps.chain([LinkName::bridge(self.vni), LinkName::vxlan(self.vni)]);
        names.map(|name| name.to_string()).collect()
    }
}

/// The port of a guest; the same MAC and address for every tenant.
pub fn port(tenant: u32, host: u8) -> Port {
    Port {
        uid: uid(tenant, host.into()),
        server: uid(tenant, u32::from(host) + 0x100),
        owner: 40_000 + tenant,
        mac: MacAddress::new([2, 0, 0, 0, 0, host]),
        addresses: [Ipv4Addr::new(10, 0, 0, host)].into(),
        class: None,
        lease: None,
    }
}

fn uid(tenant: u32, thing: u32) -> Uid {
    let text = format!("{tenant:04x}{thing:04x}-0000-4000-8000-000000000000");
    Uid::try_from(text).unwrap()
}
