//! All that one start of a server needs before its QEMU: volumes, first boot
//! data, and last the taps, so that they are not held while something else is
//! waited for.

use std::sync::Arc;

use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::virtual_server::{Placement, VirtualServer};

use super::node::Node;
use super::volumes::{self, Asker, NotReady, ReadyVolume};
use crate::first_boot::{self, Image, Subject, UserData, fetch};
use crate::network::feed::Attached;
use crate::report::runtime::{Trouble, explain};

/// What a start goes with. Dropping it closes the taps.
#[derive(Debug)]
pub struct Ready {
    /// The volumes, in the guest's order.
    pub volumes: Vec<ReadyVolume>,
    /// The first boot data.
    pub first_boot: Image,
    /// The taps, in the guest's order.
    pub interfaces: Vec<Attached>,
}

/// Makes all of it ready for a server as it was last read.
///
/// # Errors
/// With the first that is not.
pub async fn make_ready(
    node: Arc<Node>,
    asker: Asker,
    placement: Placement,
    server: VirtualServer,
) -> Result<Ready, NotReady> {
    let interfaces = interfaces(&server)?;
    let volumes = volumes::make_ready(node.clone(), asker.clone(), placement.disks).await?;
    let first_boot = first_boot(&node, &asker, &server, &interfaces).await?;
    let attached = node.networks.attach(&asker.server, asker.epoch, &interfaces).await;
    Ok(Ready { volumes, first_boot, interfaces: attached.map_err(NotReady)? })
}

/// The interfaces that the server was given: all that it asks for. An operator
/// that does not know of them gives none, and the guest would never know.
fn interfaces(server: &VirtualServer) -> Result<Vec<PlacedInterface>, NotReady> {
    let given = server.status.as_ref().map(|status| status.interfaces.clone()).unwrap_or_default();
    for wanted in &server.spec.network_interfaces {
        if !given.iter().any(|interface| interface.name == wanted.name) {
            let message = format!(
                "interface {} was not given an address yet: status.interfaces does not list it",
                wanted.name
            );
            return Err(NotReady(Trouble::new("InterfaceNotGiven", message)));
        }
    }
    Ok(given)
}

async fn first_boot(
    node: &Node,
    asker: &Asker,
    server: &VirtualServer,
    interfaces: &[PlacedInterface],
) -> Result<Image, NotReady> {
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let user_data = match &server.spec.user_data_secret_name {
        Some(_) => user_data(node, asker, name).await?,
        None => None,
    };
    let subject = Subject {
        server: &asker.server,
        name,
        interfaces,
        keys: &server.spec.ssh_authorized_keys,
        user_data,
    };
    first_boot::image(&first_boot::files(&subject))
        .map_err(|error| NotReady(Trouble::new(error.reason(), explain(&error))))
}

async fn user_data(node: &Node, asker: &Asker, name: &str) -> Result<Option<UserData>, NotReady> {
    let asked = fetch::Asked {
        namespace: &asker.namespace,
        name,
        server: &asker.server,
        epoch: asker.epoch,
    };
    fetch::user_data(&node.api, &node.operator, &asked)
        .await
        .map_err(|error| NotReady(Trouble::new(error.reason(), explain(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn decide_that_no_server_starts_without_an_interface_that_it_asks_for() {
        let server = |given: serde_json::Value| -> VirtualServer {
            serde_json::from_value(json!({
                "apiVersion": "suigen.dev/v1alpha1", "kind": "VirtualServer",
                "metadata": {"name": "web-1"},
                "spec": {"serverClassName": "b", "bootDiskName": "root", "disks": [],
                    "networkInterfaces": [{"name": "eth0", "tenantNetworkName": "web"}]},
                "status": {"interfaces": given},
            }))
            .unwrap()
        };
        let NotReady(trouble) = interfaces(&server(json!([]))).unwrap_err();
        assert_eq!(trouble.reason, "InterfaceNotGiven");
        assert!(trouble.message.contains("eth0"), "{}", trouble.message);
        let given = server(json!([{"name": "eth0", "tenantNetworkName": "web",
            "networkUid": "0a000000-0000-4000-8000-000000000001", "vni": 5000, "mtu": 1450,
            "macAddress": "02:00:00:00:00:01", "addresses": ["10.20.0.10"]}]));
        assert_eq!(interfaces(&given).unwrap().len(), 1);
    }
}
