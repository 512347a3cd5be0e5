//! ServerClass: what can be bought.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Bytes;

/// What a server of this class gets. The whole spec is immutable: a server
/// was sold with it.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "ServerClass",
    plural = "serverclasses",
    shortname = "sclass",
    category = "suigen",
    doc = "A ServerClass is what can be bought: a resource type and an amount of CPU and memory. Written by the provider.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.resourceType"),
    printcolumn(name = "vCPUs", type_ = "integer", json_path = ".spec.virtual.vcpus"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".spec.virtual.memory"),
    printcolumn(name = "CPU-Floor", type_ = "integer", json_path = ".spec.virtual.cpuFloorMillis", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message("the name of a ServerClass has at most 63 characters, no dots"),
    validation = Rule::new("self.spec == oldSelf.spec").message("spec of a ServerClass cannot be changed, because servers were sold with it: create a class with another name")
)]
#[serde(rename_all = "camelCase")]
pub struct ServerClassSpec {
    /// How the amounts are meant. `Guaranteed`: the floor is always there and
    /// counted in full when servers are placed. `BestEffort`: a small floor, and
    /// what is free beyond it.
    pub resource_type: ResourceType,
    /// The virtual machine that a VirtualServer of this class gets.
    pub r#virtual: VirtualShape,
}

/// How an amount of a resource is meant, alike for servers, disks and networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResourceType {
    /// The floor is what was bought: always there, counted in full.
    Guaranteed,
    /// A small floor, a high ceiling.
    BestEffort,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The size of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.cpuFloorMillis <= self.vcpus * 1000").message("cpuFloorMillis cannot exceed 1000 for each of the vcpus"),
    validation = Rule::new("quantity(string(self.memory)).compareTo(quantity('64Mi')) >= 0").message("memory is at least 64Mi: with less neither firmware nor kernel starts").field_path(".memory")
)]
pub struct VirtualShape {
    /// Virtual CPUs that the guest sees.
    #[schemars(range(min = 1, max = 256))]
    pub vcpus: i32,
    /// Memory that the guest sees, in bytes; at least 64Mi.
    pub memory: Bytes,
    /// CPU time that is always there, in thousandths of a physical CPU; all
    /// floors on a hypervisor add up to at most its capacity.
    #[schemars(range(min = 0, max = 256_000))]
    pub cpu_floor_millis: i32,
}

/// The smallest memory with which the firmware and a kernel start.
pub const MINIMUM_MEMORY: i64 = 64 << 20;
