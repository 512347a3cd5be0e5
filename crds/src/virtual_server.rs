//! VirtualServer: a virtual machine.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::disk::ReclaimPolicy;
use crate::ident::{BootId, Epoch, LogId, NodeName, Sha256, Uid};
use crate::network_interface::{NetworkInterface, PlacedInterface};
use crate::quantity::Bytes;
use crate::server_class::ResourceType;
use crate::server_image::Firmware;

/// What the tenant wants.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "VirtualServer",
    plural = "virtualservers",
    shortname = "vsrv",
    category = "suigen",
    namespaced,
    status = "VirtualServerStatus",
    selectable = ".status.placement.nodeName",
    selectable = ".status.phase",
    doc = "A VirtualServer is a virtual machine of a ServerClass with its disks. It runs on one Hypervisor at a time.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.serverClassName"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.placement.nodeName"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.interfaces[0].addresses[0]"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.placement.epoch", priority = 1),
    printcolumn(name = "Power", type_ = "string", json_path = ".spec.powerState", priority = 1),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.runtime.startedAt", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message("the name of a VirtualServer becomes its host name: at most 63 characters, no dots"),
    validation = Rule::new("self.spec.disks.all(d, !has(d.template) || self.metadata.name.size() + d.name.size() <= 62)").message("a disk with a template becomes the Disk <server>-<name>: together with the server's name its name has at most 62 characters"),
    validation = Rule::new("self.spec.disks.all(d, !has(d.diskName) || (self.spec.disks.exists_one(e, has(e.diskName) && e.diskName == d.diskName) && !self.spec.disks.exists(e, has(e.template) && d.diskName == self.metadata.name + '-' + e.name)))").message("a Disk can be given to a server only once"),
    validation = Rule::new("!has(oldSelf.status) || has(self.status)").message("status holds the run right: it is changed, never removed")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.serverClassName == oldSelf.serverClassName").message("serverClassName cannot be changed: create another VirtualServer and give it the disks").field_path(".serverClassName"),
    validation = Rule::new("self.disks == oldSelf.disks").message("disks cannot be changed: create another VirtualServer and give it the disks").field_path(".disks"),
    validation = Rule::new("self.bootDiskName == oldSelf.bootDiskName").message("bootDiskName cannot be changed").field_path(".bootDiskName"),
    validation = Rule::new("(has(self.networkInterfaces) ? self.networkInterfaces : []) == (has(oldSelf.networkInterfaces) ? oldSelf.networkInterfaces : [])").message("networkInterfaces cannot be changed yet: create another VirtualServer and give it the disks").field_path(".networkInterfaces"),
    validation = Rule::new("self.disks.exists(d, d.name == self.bootDiskName)").message("bootDiskName must be the name of one of the disks").field_path(".bootDiskName")
)]
pub struct VirtualServerSpec {
    /// The ServerClass that says what the server gets.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub server_class_name: String,
    /// Whether the server is to be on.
    #[serde(default)]
    pub power_state: PowerState,
    /// What happens when the guest powers itself off, or its QEMU ends.
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    /// Whether deleting the server is refused.
    #[serde(default)]
    pub deletion_protection: DeletionProtection,
    /// The name, among `disks`, of the disk that the firmware starts from.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub boot_disk_name: String,
    /// The server's disks, in the order in which the guest sees them.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub disks: Vec<ServerDisk>,
    /// The server's network interfaces, in the order in which the guest sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub network_interfaces: Vec<NetworkInterface>,
    /// The Secret, of the same namespace, whose key `userData` the guest's
    /// cloud-init gets. Read at each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub user_data_secret_name: Option<String>,
    /// Public keys, one a line as in `authorized_keys`, that the guest's
    /// cloud-init lets in for its default user. Read at each start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub ssh_authorized_keys: Vec<SshKey>,
}

/// A public key, as a line of `authorized_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct SshKey(
    #[schemars(length(min = 16, max = 4096), regex(pattern = "^[ -~]+$"))] pub String,
);

/// One disk of a server: one that exists, or one that is made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.template) != has(self.diskName)").message("a disk needs either template or diskName, and not both"))]
pub struct ServerDisk {
    /// What the disk is called within the server; also the serial number that
    /// the guest sees.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A Disk of the same namespace that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub disk_name: Option<String>,
    /// A Disk that is made for the server, named `<server>-<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<DiskTemplate>,
}

/// A Disk to be made for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskTemplate {
    /// How large the guest sees the disk, in bytes.
    pub size: Bytes,
    /// The DiskClass that says where the data is kept.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub disk_class_name: String,
    /// The ServerImage that the disk starts from; absent: an empty disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub image_name: Option<String>,
    /// What becomes of the Disk when the server is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
}

/// Whether a server is to be on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PowerState {
    /// It is to run.
    #[default]
    PoweredOn,
    /// It is to be off: powered off gracefully (60 s), then hard.
    PoweredOff,
    /// A value from a newer schema than this program knows; nothing is done for it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What happens when a guest powers itself off or its QEMU ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartPolicy {
    /// It is started again.
    #[default]
    Always,
    /// It is started again unless the guest powered itself off.
    OnFailure,
    /// It stays down.
    Never,
    /// A value from a newer schema than this program knows; it stays down.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Whether deleting a server is refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionProtection {
    /// It can be deleted.
    #[default]
    Disabled,
    /// Deletion is refused until this is `Disabled`.
    Enabled,
    /// A value from a newer schema than this program knows; treated as `Enabled`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What is known of the server. The operator writes all of it but `runtime`,
/// which is the node-daemon's of the placed node.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(oldSelf.placement) || has(self.placement)").message("a placement is replaced, never removed"),
    validation = Rule::new("!has(oldSelf.placement) || !has(self.placement) || self.placement.epoch >= oldSelf.placement.epoch").message("the epoch of a placement never falls"),
    validation = Rule::new("!has(oldSelf.placement) || !has(self.placement) || self.placement.epoch > oldSelf.placement.epoch || (self.placement.nodeName == oldSelf.placement.nodeName && self.placement.walId == oldSelf.placement.walId)").message("the run right moves only under a higher epoch"),
    validation = Rule::new("!has(oldSelf.runtime) || !has(self.runtime) || self.runtime.epoch >= oldSelf.runtime.epoch").message("a report from a lower epoch is refused")
)]
pub struct VirtualServerStatus {
    /// The generation of the spec that the operator acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// A word for the eye; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ServerPhase>,
    /// The right to run the server: who has it, and under which number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The server's interfaces with what they were given. Written when the
    /// server is first placed, kept for its life.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub interfaces: Vec<PlacedInterface>,
    /// What the node-daemon of the placed node sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// `Ready`: the desired state is reached (also off, where that is desired).
    /// `Scheduled`, `DisksReady`, `InterfacesReady`, `Running`: the steps to it. `Reconciling` while
    /// it is worked on, `Stalled` when a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A word for the state of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ServerPhase {
    /// It waits for something that its spec names, or for a hypervisor.
    Pending,
    /// Placed; its disks are being made.
    Preparing,
    /// Its QEMU is being started.
    Starting,
    /// The guest runs.
    Running,
    /// It is being powered off.
    Stopping,
    /// It is off, as desired.
    Stopped,
    /// It is down though it should run; the conditions say why.
    Failed,
    /// It is being deleted.
    Terminating,
    /// Its hypervisor was not heard of lately, or says what this program does not know.
    #[serde(other)]
    Unknown,
}

/// The right to run a server. Written by the operator with the object's
/// resourceVersion; a missing one means nothing to a node-daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Placement {
    /// The hypervisor that may run the server.
    pub node_name: NodeName,
    /// The number of this right.
    pub epoch: Epoch,
    /// The write-ahead log of that hypervisor; a daemon with another log holds nothing.
    pub wal_id: LogId,
    /// What the ServerClass meant when the server was placed.
    pub class: ResolvedClass,
    /// The firmware of the boot disk's image.
    pub firmware: Firmware,
    /// The server's disks in the guest's order, the boot disk first.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub disks: Vec<PlacedDisk>,
}

/// A ServerClass as it was when a server was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedClass {
    /// The class's name, for people.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How the amounts are meant.
    pub resource_type: ResourceType,
    /// Virtual CPUs that the guest sees.
    pub vcpus: i32,
    /// Memory that the guest sees, in bytes.
    pub memory_bytes: i64,
    /// CPU time that is always there, in thousandths of a CPU.
    pub cpu_floor_millis: i32,
}

/// One disk of a placed server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacedDisk {
    /// What the server calls it.
    #[schemars(length(max = 20))]
    pub name: String,
    /// The Disk's name.
    #[schemars(length(max = 63))]
    pub disk_name: String,
    /// The Disk's UID.
    pub disk_uid: Uid,
}

/// What a node-daemon sees of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Runtime {
    /// The hypervisor that says so.
    pub node_name: NodeName,
    /// The run right under which it says so.
    pub epoch: Epoch,
    /// What the server does.
    pub state: RuntimeState,
    /// One word for programs, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// A sentence for people; after a failure with the last lines of QEMU's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
    /// The highest epoch that the daemon gave up: its process has ended and its
    /// disks are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_epoch: Option<Epoch>,
    /// The boot of the hypervisor in which it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<BootId>,
    /// Which start of the server this is, counted over its life on this hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<i64>,
    /// Digest of the QEMU bundle that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub bundle: Option<String>,
    /// Digest of the first boot data (cloud-init's NoCloud disk) that this
    /// incarnation was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_boot_digest: Option<Sha256>,
    /// When this incarnation's guest began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// What a server does, as its node-daemon sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RuntimeState {
    /// Its disks are being made, or waited for.
    Preparing,
    /// QEMU was started, the guest does not run yet.
    Starting,
    /// The guest runs.
    Running,
    /// The guest is paused; the reason says why.
    Paused,
    /// The guest was asked to power off.
    Stopping,
    /// No process; as desired.
    Stopped,
    /// No process though there should be one; the reason says what it waits for.
    Down,
    /// QEMU lives but does not answer. It is left alone.
    QmpUnresponsive,
    /// The daemon cannot honour the placement and did not start; counts as released.
    Refused,
    /// The run right was given up.
    Released,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
