//! DiskClass: where disks are kept, and with what performance.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::server_class::ResourceType;

/// Where the disks of this class are kept. The whole spec is immutable.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "DiskClass",
    plural = "diskclasses",
    shortname = "dclass",
    category = "suigen",
    doc = "A DiskClass is a kind of storage that can be bought: a backend and a resource type. Written by the provider.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.resourceType"),
    printcolumn(name = "Backend", type_ = "string", json_path = ".spec.backend"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message("the name of a DiskClass has at most 63 characters, no dots"),
    validation = Rule::new("self.spec == oldSelf.spec").message("spec of a DiskClass cannot be changed, because disks were made with it: create a class with another name")
)]
#[serde(rename_all = "camelCase")]
pub struct DiskClassSpec {
    /// How the performance is meant.
    pub resource_type: ResourceType,
    /// What keeps the data. `Local`: a file on the hypervisor where the disk
    /// was first used; it pins its server to that hypervisor.
    pub backend: Backend,
}

/// What keeps a disk's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Backend {
    /// A file on one hypervisor.
    Local,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
