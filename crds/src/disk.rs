//! Disk: a persistent volume for servers.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::disk_class::Backend;
use crate::ident::{Epoch, NodeName, Sha256, Uid};
use crate::quantity::Bytes;
use crate::server_image::{Firmware, ImageFormat};

/// What the disk is to be.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "Disk",
    plural = "disks",
    shortname = "sdisk",
    category = "suigen",
    namespaced,
    status = "DiskStatus",
    selectable = ".status.nodeName",
    doc = "A Disk is a persistent volume for servers. It is empty or starts from a ServerImage. Deleting it erases its data.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Size", type_ = "string", json_path = ".spec.size"),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.attachment.serverName"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.nodeName"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.imageName", priority = 1),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.diskClassName", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message("the name of a Disk has at most 63 characters, no dots"),
    validation = Rule::new("!has(oldSelf.status) || has(self.status)").message("status says who may write the disk: it is changed, never removed")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) == 0").message("size cannot be changed yet: create a larger Disk").field_path(".size"),
    validation = Rule::new("self.diskClassName == oldSelf.diskClassName").message("diskClassName cannot be changed: create another Disk").field_path(".diskClassName"),
    validation = Rule::new("(has(self.imageName) ? self.imageName : '') == (has(oldSelf.imageName) ? oldSelf.imageName : '')").message("imageName cannot be changed: create another Disk").field_path(".imageName")
)]
pub struct DiskSpec {
    /// How large the guest sees the disk, in bytes.
    pub size: Bytes,
    /// The DiskClass that says where the data is kept.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub disk_class_name: String,
    /// The ServerImage that the disk starts from; absent or empty: an empty disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"))]
    pub image_name: Option<String>,
    /// What becomes of a disk that was made for a server when that server is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
}

impl DiskSpec {
    /// The image's name; none for an empty disk.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.image_name.as_deref().filter(|name| !name.is_empty())
    }
}

/// What becomes of a disk when the server that it was made for is deleted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It stays, and can be given to another server. It ends with its namespace.
    #[default]
    Retain,
    /// It is deleted with the server, data and all.
    Delete,
    /// A value from a newer schema than this program knows; treated as `Retain`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What is known of the disk.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(oldSelf.attachEpoch) || (has(self.attachEpoch) && self.attachEpoch >= oldSelf.attachEpoch)").message("attachEpoch never falls"),
    validation = Rule::new("!has(oldSelf.nodeName) || (has(self.nodeName) && self.nodeName == oldSelf.nodeName)").message("nodeName never changes: the data is there and nowhere else")
)]
pub struct DiskStatus {
    /// The generation of the spec that the operator acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// A word for the eye; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<DiskPhase>,
    /// The hypervisor that keeps the data of a `Local` disk. Written by the
    /// operator when a server with this disk is first placed, never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<NodeName>,
    /// What class and image meant when the disk was made; the objects may be
    /// gone since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DiskSource>,
    /// The highest number of an attachment that was ever given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach_epoch: Option<Epoch>,
    /// The one server that may write the disk. It moves only after that server
    /// released its run right, which says that its disks are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// What the node-daemon of `nodeName` found or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// `Ready`: the data is there and can be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A word for the state of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiskPhase {
    /// Nothing was made yet: it waits for a server, or for what its spec names.
    Pending,
    /// The image is being fetched, or the volume made.
    Creating,
    /// It can be given to a server.
    Ready,
    /// A server has it.
    InUse,
    /// It cannot be used; the condition says why.
    Failed,
    /// Its data is being erased.
    Deleting,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Class and image of a disk, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskSource {
    /// What keeps the data.
    pub backend: Backend,
    /// The image; absent for an empty disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSource>,
}

/// A ServerImage as it was when the disk was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSource {
    /// Where it is fetched.
    #[schemars(length(max = 2048))]
    pub url: String,
    /// Its digest.
    pub sha256: Sha256,
    /// Its format.
    pub format: ImageFormat,
    /// The firmware that it boots with.
    pub firmware: Firmware,
}

/// A disk in the hands of one run of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The server's name, for people.
    #[schemars(length(max = 63))]
    pub server_name: String,
    /// The server's UID: a later server of the same name is another one.
    pub server_uid: Uid,
    /// The run right under which the server may open the disk.
    pub server_epoch: Epoch,
    /// The number of this attachment.
    pub attach_epoch: Epoch,
}

/// A volume as its node-daemon knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Volume {
    /// The hypervisor that says so.
    pub node_name: NodeName,
    /// How far the volume is.
    pub state: VolumeState,
    /// One word for programs, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
}

/// How far a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VolumeState {
    /// The image is being fetched and verified, or the volume made from it.
    Creating,
    /// The volume exists. It is never made a second time.
    Ready,
    /// It cannot be made or found; tried again when the cause may have gone.
    Failed,
    /// It was erased after the Disk was deleted.
    Deleted,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
