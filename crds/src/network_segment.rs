//! NetworkSegment: a VNI that is taken.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ident::NodeName;
use crate::net_ident::Vni;
use crate::tenant_network::NetworkReference;

/// For how long a VNI stays taken after its network is gone, in seconds: a
/// frame that is still under way must not meet another tenant's network.
pub const QUARANTINE_SECONDS: i64 = 300;

/// Whose VNI it is. Created by the operator, never changed: the uniqueness of
/// the name is what allocates the VNI.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "NetworkSegment",
    plural = "networksegments",
    shortname = "nseg",
    category = "suigen",
    status = "NetworkSegmentStatus",
    selectable = ".status.phase",
    doc = "A NetworkSegment is a VNI that is taken: its name, vni-<vni>, is the claim. Written by the operator alone.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.network.namespace"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network.name"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^vni-[1-9][0-9]{0,7}$') && int(self.metadata.name.substring(4)) == self.spec.vni").message("the name of a NetworkSegment is vni-<vni>"),
    validation = Rule::new("self.spec == oldSelf.spec").message("a NetworkSegment is created and deleted, never changed")
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSegmentSpec {
    /// The identifier that is taken.
    pub vni: Vni,
    /// The network that has it.
    pub network: NetworkReference,
}

/// What stands between the segment and its end.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(oldSelf.releasedAt) || (has(self.releasedAt) && self.releasedAt == oldSelf.releasedAt)").message("what was released stays released")
)]
pub struct NetworkSegmentStatus {
    /// Whether the network has it, or is gone. Written by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SegmentPhase>,
    /// Every hypervisor that ever got a port of the network, noted by the
    /// operator before the port is bound there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "set"))]
    pub hosts: Vec<NodeName>,
    /// Since when the network is gone. Written by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
    /// The hypervisors that have nothing of the network any more, each written
    /// by its own node-daemon after it saw `releasedAt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["nodeName"]))]
    pub torn_down: Vec<TornDown>,
    /// What it waits for. Written by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// A hypervisor's word that it has nothing of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TornDown {
    /// The hypervisor.
    pub node_name: NodeName,
}

/// Where a segment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SegmentPhase {
    /// Its network has it.
    InUse,
    /// Its network is gone; hypervisors are asked whether they still have
    /// anything of it. Then it is deleted, and the VNI is free.
    Releasing,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The name of the segment of a VNI.
#[must_use]
pub fn segment_name(vni: Vni) -> String {
    format!("vni-{vni}")
}
