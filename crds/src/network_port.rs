//! NetworkPort: one interface of one server in one network.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ident::{Epoch, NodeName, Uid};
use crate::net_ident::{Address, MacAddress, Vni};

/// What the port is. Written by the operator alone; all but `binding` stays as
/// it was created.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "NetworkPort",
    plural = "networkports",
    shortname = "nport",
    category = "suigen",
    namespaced,
    status = "NetworkPortStatus",
    selectable = ".spec.binding.nodeName",
    doc = "A NetworkPort is one interface of one server in one TenantNetwork, named <server>.<interface>. Written by the operator alone.",
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.tenantNetworkName"),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.serverName"),
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.addresses[0]"),
    printcolumn(name = "MAC", type_ = "string", json_path = ".spec.macAddress"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.binding.nodeName"),
    printcolumn(name = "Trouble", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".spec.binding.epoch", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name == self.spec.serverName + '.' + self.spec.interfaceName").message("the name of a NetworkPort is <server>.<interface>")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.networkUid == oldSelf.networkUid && self.vni == oldSelf.vni && self.serverUid == oldSelf.serverUid && self.macAddress == oldSelf.macAddress && self.interfaceName == oldSelf.interfaceName && self.tenantNetworkName == oldSelf.tenantNetworkName && (has(self.addresses) ? self.addresses : []) == (has(oldSelf.addresses) ? oldSelf.addresses : [])").message("only the binding of a NetworkPort changes"),
    validation = Rule::new("!has(oldSelf.binding) || (has(self.binding) && (self.binding.epoch > oldSelf.binding.epoch || self.binding == oldSelf.binding))").message("a port moves only under a higher epoch")
)]
pub struct NetworkPortSpec {
    /// The network's name.
    #[schemars(length(min = 1, max = 63))]
    pub tenant_network_name: String,
    /// The network's UID.
    pub network_uid: Uid,
    /// The network's identifier on the underlay.
    pub vni: Vni,
    /// The server's name.
    #[schemars(length(min = 1, max = 63))]
    pub server_name: String,
    /// The server's UID.
    pub server_uid: Uid,
    /// What the server calls the interface.
    #[schemars(length(min = 1, max = 15))]
    pub interface_name: String,
    /// The interface's MAC address; frames with any other go nowhere.
    pub mac_address: MacAddress,
    /// The interface's addresses; packets from any other go nowhere. None in a
    /// network without subnets, where every address may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<Address>,
    /// The hypervisor that has the port now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
}

/// Where a port is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Binding {
    /// The hypervisor.
    pub node_name: NodeName,
    /// The run right under which it has the port; node-daemons ignore a lower
    /// one than they know.
    pub epoch: Epoch,
}

/// What the node-daemon of the bound hypervisor says, when there is something
/// to say: that a port is as it should be shows in the server that runs.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPortStatus {
    /// The hypervisor that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<NodeName>,
    /// The binding under which it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// What became of the port there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PortState>,
    /// One word for programs, in CamelCase; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What became of a port on the hypervisor that it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PortState {
    /// It is as it should be. Written only after it was not.
    Ready,
    /// It cannot be made, or not be kept; the reason says why. It is tried again.
    Failed,
    /// The node has nothing of it any more. Said of a port that is being deleted.
    Removed,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The name of the port of a server's interface. A server's name has no dot,
/// so no two interfaces share one.
#[must_use]
pub fn port_name(server: &str, interface: &str) -> String {
    format!("{server}.{interface}")
}
