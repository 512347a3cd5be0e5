//! What the tasks of servers use: taps for their QEMU.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use suigen_crds::ident::{Epoch, Uid};
use suigen_crds::net_ident::MacAddress;
use suigen_crds::network_interface::PlacedInterface;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::network::DataPlane;
use crate::network::tap;
use crate::report::runtime::{Trouble, explain};

/// How long a server waits for its ports before it says why it waits. Commonly
/// they are bound a moment after its placement.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a tap that another process had open is tried again.
const BUSY: Duration = Duration::from_millis(200);
/// For how long a server counts as having its taps after they were opened for
/// it: until then its process is there, or never comes.
const STARTING: Duration = Duration::from_secs(60);

/// The tap of an interface, open.
#[derive(Debug)]
pub struct Attached {
    /// What the server calls the interface.
    pub name: String,
    /// For QEMU: frames carry a `virtio_net_hdr`. Closed on exec unless the
    /// caller arranges otherwise.
    pub fd: OwnedFd,
    /// The interface's MAC address.
    pub mac: MacAddress,
    /// The largest packet that the guest may send, in bytes.
    pub mtu: u16,
}

/// Where a port that is bound here stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The kernel has it as it should be.
    Ready,
    /// It is being made.
    Pending,
    /// It cannot be made.
    Failed(Trouble),
}

/// A port that is bound here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub port: Uid,
    pub epoch: Epoch,
    pub mac: MacAddress,
    pub standing: Standing,
}

/// What the feed tells: by server and interface, and the data plane that has it.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub plane: Result<DataPlane, Trouble>,
    pub ports: BTreeMap<(Uid, String), Bound>,
}

impl Default for Served {
    fn default() -> Self {
        let trouble = Trouble::new(
            "NetworksNotReady",
            "the node-daemon has not looked yet whether this node can host networks",
        );
        Self { plane: Err(trouble), ports: BTreeMap::new() }
    }
}

/// The tenants' networks, as the tasks of servers see them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TenantNetworks {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    served: watch::Sender<Served>,
    starting: Mutex<BTreeMap<Uid, Instant>>,
    left: Notify,
}

impl TenantNetworks {
    /// Opens the taps of a server's interfaces, in their order, for the QEMU
    /// that is about to start under this epoch. Waits some seconds for ports
    /// that are not there yet.
    ///
    /// # Errors
    /// When one of them cannot be had, and why. It may be asked for again.
    pub async fn attach(
        &self,
        server: &Uid,
        epoch: Epoch,
        interfaces: &[PlacedInterface],
    ) -> Result<Vec<Attached>, Trouble> {
        if interfaces.is_empty() {
            return Ok(Vec::new());
        }
        // From here on the taps stay: the process may have them open any moment.
        self.starting().insert(server.clone(), Instant::now());
        let attached = self.opened((server, epoch), interfaces, PATIENCE).await;
        if attached.is_err() {
            self.left(server);
        }
        attached
    }

    async fn opened(
        &self,
        (server, epoch): (&Uid, Epoch),
        interfaces: &[PlacedInterface],
        patience: Duration,
    ) -> Result<Vec<Attached>, Trouble> {
        let deadline = Instant::now() + patience;
        let mut served = self.shared.served.subscribe();
        loop {
            let now = served.borrow_and_update().clone();
            let opened = match found(&now, server, epoch, interfaces) {
                Ok((plane, ports)) => open_all(plane, &ports, interfaces).await,
                Err(trouble) => Err(trouble),
            };
            let trouble = match opened {
                Ok(attached) => return Ok(attached),
                Err(trouble) => trouble,
            };
            let again = served.changed();
            let waited = tokio::time::timeout_at(deadline, async {
                tokio::select! {
                    _ = again => {}
                    () = tokio::time::sleep(BUSY), if trouble.reason == "TapBusy" => {}
                }
            });
            if waited.await.is_err() {
                return Err(trouble);
            }
        }
    }

    /// Waits until ports of a server that are missing now are all ready; false
    /// at once where none is missing.
    pub async fn become_ready(
        &self,
        server: &Uid,
        epoch: Epoch,
        interfaces: &[PlacedInterface],
    ) -> bool {
        let mut served = self.shared.served.subscribe();
        let missing = |served: &Served| found(served, server, epoch, interfaces).is_err();
        if interfaces.is_empty() || !missing(&served.borrow_and_update()) {
            return false;
        }
        while served.changed().await.is_ok() {
            if !missing(&served.borrow_and_update()) {
                return true;
            }
        }
        false
    }

    /// Says that no process of the server has its taps open any more. Without
    /// it the feed finds out by itself, later.
    pub fn left(&self, server: &Uid) {
        self.starting().remove(server);
        self.shared.left.notify_one();
    }

    /// The servers whose process was given taps a short while ago and may not
    /// be seen yet.
    #[must_use]
    pub fn occupied(&self) -> BTreeSet<Uid> {
        let mut starting = self.starting();
        starting.retain(|_, since| since.elapsed() < STARTING);
        starting.keys().cloned().collect()
    }

    /// Waits until a server said that it left.
    pub(super) async fn someone_left(&self) {
        self.shared.left.notified().await;
    }

    /// Tells the tasks what is served now.
    pub(super) fn serve(&self, served: Served) {
        self.shared.served.send_replace(served);
    }

    /// A poisoned lock means that a task panicked between two plain inserts.
    fn starting(&self) -> MutexGuard<'_, BTreeMap<Uid, Instant>> {
        self.shared.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ports of all interfaces, when every one of them is ready.
fn found<'a>(
    served: &'a Served,
    server: &Uid,
    epoch: Epoch,
    interfaces: &[PlacedInterface],
) -> Result<(&'a DataPlane, Vec<Uid>), Trouble> {
    let plane = served.plane.as_ref().map_err(Clone::clone)?;
    let ports = interfaces.iter().map(|interface| {
        let key = (server.clone(), interface.name.clone());
        let name = &interface.name;
        match served.ports.get(&key) {
            Some(bound) if bound.epoch == epoch => ready(bound, interface),
            Some(bound) => Err(Trouble::new(
                "PortNotBound",
                format!(
                    "interface {name}: its NetworkPort is bound here under epoch {}, not yet under {epoch}",
                    bound.epoch
                ),
            )),
            None => Err(Trouble::new(
                "PortNotBound",
                format!("interface {name}: its NetworkPort is not bound to this node yet"),
            )),
        }
    });
    Ok((plane, ports.collect::<Result<_, _>>()?))
}

fn ready(bound: &Bound, interface: &PlacedInterface) -> Result<Uid, Trouble> {
    let name = &interface.name;
    if bound.mac != interface.mac_address {
        let message = format!(
            "interface {name}: its NetworkPort has the MAC address {}, the server {}",
            bound.mac, interface.mac_address
        );
        return Err(Trouble::new("PortDiffers", message));
    }
    match &bound.standing {
        Standing::Ready => Ok(bound.port.clone()),
        Standing::Pending => Err(Trouble::new(
            "PortNotReady",
            format!("interface {name}: its network is being set up on this node"),
        )),
        Standing::Failed(trouble) => Err(Trouble::new(
            trouble.reason.clone(),
            format!("interface {name}: {}", trouble.message),
        )),
    }
}

async fn open_all(
    plane: &DataPlane,
    ports: &[Uid],
    interfaces: &[PlacedInterface],
) -> Result<Vec<Attached>, Trouble> {
    let mut attached = Vec::new();
    for (port, interface) in ports.iter().zip(interfaces) {
        let (plane, port) = (plane.clone(), port.clone());
        let opened = tokio::task::spawn_blocking(move || plane.attach(&port)).await;
        let name = interface.name.clone();
        let failed = |reason, error: &dyn std::error::Error| {
            Trouble::new(reason, format!("interface {name}: {}", explain(error)))
        };
        let fd = opened
            .map_err(|error| failed("TapFailed", &error))?
            .map_err(|error: tap::Error| failed(error.reason(), &error))?;
        attached.push(Attached {
            name,
            fd,
            mac: interface.mac_address,
            mtu: u16::try_from(interface.mtu).unwrap_or(u16::MAX),
        });
    }
    Ok(attached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u8) -> Uid {
        format!("0a000000-0000-4000-8000-0000000000{n:02x}").try_into().unwrap()
    }

    fn interface() -> PlacedInterface {
        PlacedInterface {
            name: "eth0".into(),
            tenant_network_name: "web".into(),
            network_uid: uid(7),
            vni: 5000.try_into().unwrap(),
            mtu: 1450,
            mac_address: "02:00:00:00:00:01".parse().unwrap(),
            addresses: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_server_without_interfaces_needs_nothing_of_the_node() {
        let networks = TenantNetworks::default();
        assert_eq!(networks.attach(&uid(1), Epoch(1), &[]).await.unwrap().len(), 0);
        assert!(networks.occupied().is_empty());
    }

    #[tokio::test]
    async fn only_what_is_missing_becomes_ready() {
        let networks = TenantNetworks::default();
        assert!(!networks.become_ready(&uid(1), Epoch(1), &[]).await);
        let interfaces = [interface()];
        let server = uid(1);
        let ready = networks.become_ready(&server, Epoch(1), &interfaces);
        assert!(tokio::time::timeout(Duration::from_millis(20), ready).await.is_err());
    }

    #[tokio::test]
    async fn what_is_waited_for_is_said() {
        let networks = TenantNetworks::default();
        let patience = Duration::from_millis(20);
        let asked = (&uid(1), Epoch(1));
        let trouble = networks.opened(asked, &[interface()], patience).await.unwrap_err();
        assert_eq!(trouble.reason, "NetworksNotReady");
    }
}
