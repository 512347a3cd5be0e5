//! From the name of a network to what an interface needs of it. Pure.

use suigen_crds::condition::{find, is_true};
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::Vni;
use suigen_crds::network_interface::{NetworkInterface, PlacedInterface};
use suigen_crds::tenant_network::{Subnet, TenantNetwork};

use super::{Wanted, blocked, waits};
use crate::virtual_server::state::{Hurdle, Problem};
use crate::watch::lookup::Lookup;

const FIELD: &str = "tenantNetworkName";

/// A network that servers can be attached to.
#[derive(Debug, Clone)]
pub struct Network<'a> {
    /// Its UID.
    pub uid: Uid,
    /// Its identifier on the underlay.
    pub vni: Vni,
    /// The largest packet that a guest may send.
    pub mtu: i32,
    /// Its subnets.
    pub subnets: &'a [Subnet],
}

/// The network of an interface, if it is ready.
///
/// # Errors
/// With what is missing.
pub fn resolve(wanted: &Wanted) -> Result<Network<'_>, Hurdle> {
    let entry = &wanted.entry;
    let network = there(wanted)?;
    let status = network.status.clone().unwrap_or_default();
    let uid = network.metadata.uid.clone().and_then(|uid| Uid::try_from(uid).ok());
    match (uid, status.vni, status.mtu) {
        (Some(uid), Some(vni), Some(mtu)) if is_true(&status.conditions, "Ready") => {
            Ok(Network { uid, vni, mtu, subnets: &network.spec.subnets })
        }
        _ => Err(not_ready(entry, network)),
    }
}

/// Whether the network of an interface that has its address already is still
/// that network.
///
/// # Errors
/// With what became of it.
pub fn still(wanted: &Wanted, placed: &PlacedInterface) -> Result<(), Hurdle> {
    let network = there(wanted)?;
    if network.metadata.uid.as_deref() == Some(placed.network_uid.as_str()) {
        return Ok(());
    }
    let text = format!(
        "TenantNetwork {:?} is another one than the server was placed in: create another VirtualServer and give it the disks",
        placed.tenant_network_name
    );
    Err(blocked(&wanted.entry, FIELD, "TenantNetworkReplaced", &text))
}

fn there(wanted: &Wanted) -> Result<&TenantNetwork, Hurdle> {
    let entry = &wanted.entry;
    let name = &entry.tenant_network_name;
    let network = match &wanted.network {
        Lookup::Found(network) => network,
        Lookup::Missing => {
            let text = format!("there is no TenantNetwork {name:?} in this namespace: create it");
            return Err(waits(entry, FIELD, "TenantNetworkNotFound", &text));
        }
        Lookup::Unreadable(why) => {
            let text = format!("TenantNetwork {name:?} cannot be read ({why}): correct it");
            return Err(waits(entry, FIELD, "TenantNetworkUnreadable", &text));
        }
    };
    if network.metadata.deletion_timestamp.is_some() {
        let text = format!(
            "TenantNetwork {name:?} is being deleted: create it again when it is gone, or create the server with another"
        );
        return Err(waits(entry, FIELD, "TenantNetworkTerminating", &text));
    }
    Ok(network)
}

fn not_ready(entry: &NetworkInterface, network: &TenantNetwork) -> Hurdle {
    let name = &entry.tenant_network_name;
    let conditions = network.status.as_ref().map_or(&[][..], |status| &status.conditions);
    match find(conditions, "Ready") {
        Some(said) if is_true(conditions, "Stalled") || !is_true(conditions, "Ready") => {
            let text = format!("TenantNetwork {name:?} is not ready: {}", said.message);
            waits(entry, FIELD, "TenantNetworkNotReady", &text)
        }
        Some(_) | None => {
            let text = format!("TenantNetwork {name:?} is being looked at");
            let problem = super::problem(entry, FIELD, "TenantNetworkNotReady", &text);
            Hurdle::Waits(Problem { passing: true, ..problem })
        }
    }
}
