//! A node: a namespace with an underlay address and the data plane in it.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use suigen_crds::ident::Uid;
use suigen_node_daemon::network::desired::{Network, Port, RemotePort, Underlay};
use suigen_node_daemon::network::ident::{MacAddress, Vni};
use suigen_node_daemon::network::netlink::netns::Namespace;
use suigen_node_daemon::network::{Config, DataPlane, Desired};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The largest packet of a guest, in bytes.
pub const MTU: u16 = 1500;

pub struct Node {
    pub host: Namespace,
    pub underlay: Underlay,
    pub plane: DataPlane,
    runtime: Runtime,
    _directory: TempDir,
}

impl Node {
    /// A node with the given last byte of its underlay address.
    pub fn start(number: u8) -> Result<Self> {
        let directory = TempDir::new()?;
        let namespace = directory.path().join("netns/suigen");
        let config = Config { namespace, nft: PathBuf::from("nft") };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let host = Namespace::scratch()?;
        let plane = host.run(|| runtime.block_on(DataPlane::open(&config)))??;
        let address = Ipv4Addr::new(192, 0, 2, number);
        let underlay = Underlay { address, mtu: 1600, port: 4789 };
        let node = Self { host, underlay, plane, runtime, _directory: directory };
        node.shell("ip link set lo up")?;
        Ok(node)
    }

    /// An underlay that ends nowhere.
    pub fn with_uplink(self) -> Result<Self> {
        let address = self.underlay.address;
        self.shell(&format!(
            "ip link add uplink mtu 1600 type bridge; ip address add {address}/24 dev uplink; \
             ip link set uplink up"
        ))?;
        Ok(self)
    }

    /// Hosts the networks, and nothing else.
    pub fn host(&self, networks: Vec<Network>) -> Result<()> {
        let desired = self.admit(networks)?;
        self.reconcile(&desired)
    }

    pub fn admit(&self, networks: Vec<Network>) -> Result<Desired> {
        let (desired, refused) = Desired::admit(self.underlay, networks);
        ensure!(refused.is_empty(), "{refused:?}");
        Ok(desired)
    }

    pub fn reconcile(&self, desired: &Desired) -> Result<()> {
        let report = self.runtime.block_on(self.plane.reconcile(desired))?;
        ensure!(report.is_complete(), "{:?} {:?}", report.foreign, report.failures);
        Ok(())
    }

    /// Runs a line of shell in the node's own namespace.
    pub fn shell(&self, line: &str) -> Result<String> {
        shell(&self.host, line)
    }
}

pub fn shell(namespace: &Namespace, line: &str) -> Result<String> {
    let output = namespace.run(|| Command::new("sh").args(["-ec", line]).output())??;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {error}");
    String::from_utf8(output.stdout).context("read what was printed")
}

/// Two nodes with an underlay between them.
pub fn pair() -> Result<[Node; 2]> {
    let (a, b) = (Node::start(1)?, Node::start(2)?);
    let other = format!("/proc/{}/fd/{}", std::process::id(), b.host.as_fd().as_raw_fd());
    a.shell(&format!(
        "ip link add uplink mtu 1600 type veth peer name uplink mtu 1600 netns {other}"
    ))?;
    for node in [&a, &b] {
        let address = node.underlay.address;
        node.shell(&format!("ip address add {address}/24 dev uplink; ip link set uplink up"))?;
    }
    Ok([a, b])
}

/// A network with one port here, which has the last byte `here`, and remote ones.
pub fn network(number: u32, here: u8, remotes: Vec<RemotePort>) -> Result<Network> {
    let port = Port {
        uid: uid(number, here.into())?,
        server: uid(number, 0x100)?,
        owner: 0,
        mac: mac(here.into()),
        addresses: [Ipv4Addr::new(10, 0, 0, here)].into(),
        class: None,
        lease: None,
    };
    let (vni, uid) = (Vni::try_from(5000 + number)?, uid(number, 0x200)?);
    Ok(Network { vni, uid, mtu: MTU, ports: vec![port], remotes })
}

/// The port with a number at the node with the last byte `vtep`.
pub fn remote(number: u32, vtep: u8) -> RemotePort {
    RemotePort { mac: mac(number), vtep: Ipv4Addr::new(192, 0, 2, vtep) }
}

pub fn mac(number: u32) -> MacAddress {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddress::new([2, 0, a, b, c, d])
}

fn uid(network: u32, thing: u32) -> Result<Uid> {
    Ok(Uid::try_from(format!("{network:05x}{thing:03x}-0000-4000-8000-000000000000"))?)
}
