//! Hypervisor: a node that runs virtual servers.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::ident::{BootId, Epoch, LogId, Uid};
use crate::net_ident::Address;
use crate::quantity::Bytes;

/// What the provider wants of the hypervisor. Its node-daemon creates the
/// object with the chart's defaults and never writes the spec again.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "Hypervisor",
    plural = "hypervisors",
    shortname = "hv",
    category = "suigen",
    status = "HypervisorStatus",
    doc = "A Hypervisor is a node that runs virtual servers: what it can do, what it lacks, and what it has left. Created by its node-daemon under the name of the node.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Qualified",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Qualified\")].status"
    ),
    printcolumn(name = "Scheduling", type_ = "string", json_path = ".spec.scheduling"),
    printcolumn(name = "Acceleration", type_ = "string", json_path = ".status.acceleration"),
    printcolumn(name = "Servers", type_ = "integer", json_path = ".status.servers"),
    printcolumn(name = "Orphans", type_ = "integer", json_path = ".status.orphansTotal"),
    printcolumn(
        name = "QEMU",
        type_ = "string",
        json_path = ".status.bundles[0].qemuVersion",
        priority = 1
    ),
    printcolumn(
        name = "Lacks",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Qualified\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HypervisorSpec {
    /// Whether new servers may be placed here. Servers that run here stay.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// Whether servers may run in software when KVM does not work here: 10 to
    /// 50 times slower, meant for laboratories.
    #[serde(default)]
    pub software_emulation: SoftwareEmulation,
    /// What stays for the node's own pods and host processes.
    pub reserved: Reserved,
}

/// Whether new servers may be placed on a hypervisor.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scheduling {
    /// They may.
    #[default]
    Enabled,
    /// They may not.
    Disabled,
    /// A value from a newer schema than this program knows; treated as `Disabled`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Whether a hypervisor may emulate in software.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SoftwareEmulation {
    /// Never: without KVM the hypervisor is not qualified.
    #[default]
    Deny,
    /// When KVM does not work.
    Allow,
    /// A value from a newer schema than this program knows; treated as `Deny`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Resources that are not given to servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reserved {
    /// Memory, in bytes.
    pub memory: Bytes,
    /// CPU time, in thousandths of a CPU.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub cpu_millis: i32,
}

/// What the hypervisor's node-daemon found. All of it is the daemon's, but for
/// the condition `Ready`, which the operator writes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HypervisorStatus {
    /// The generation of the spec that the daemon acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Version of the node-daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub daemon_version: Option<String>,
    /// Where the operator reaches the daemon for consoles, `address:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub endpoint: Option<String>,
    /// This boot of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<BootId>,
    /// The write-ahead log that the daemon keeps; a wiped node has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_id: Option<LogId>,
    /// The machine's own UUID (SMBIOS type 1), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub smbios_uuid: Option<String>,
    /// Where tunnels of tenants' networks end, if they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underlay: Option<Underlay>,
    /// How guests run here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceleration: Option<Acceleration>,
    /// What the KVM self-test found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kvm: Option<KvmFacts>,
    /// What the CPU is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuFacts>,
    /// What the machine has, before anything is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Features of the kernel and host that something of Suigen needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub features: Vec<Feature>,
    /// QEMU bundles on the node, the one for new servers first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["digest"]))]
    pub bundles: Vec<Bundle>,
    /// How many servers hold their run right here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<i32>,
    /// Guests that run here though no VirtualServer says so. They are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["serverUid"]))]
    pub orphans: Vec<Orphan>,
    /// How many there are; the list may be cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphans_total: Option<i32>,
    /// `Qualified` (daemon): servers can run here. `Ready` (operator): qualified,
    /// and its daemon was heard of lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The tunnel end point (VTEP) of a hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Underlay {
    /// The address that tunnels start from and end at.
    pub address: Address,
    /// The largest packet that the link with that address carries, in bytes; a
    /// tenant's packet is at most 50 bytes smaller.
    pub mtu: i32,
}

/// How guests run on a hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Acceleration {
    /// In hardware, through the kernel's KVM.
    Kvm,
    /// In software, by QEMU's code generator.
    SoftwareEmulation,
    /// Not at all.
    None,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What the KVM self-test found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KvmFacts {
    /// Whether a virtual machine ran instructions and gave the right result.
    pub self_test: SelfTest,
    /// What the self-test said, for people.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Version of KVM's API; 12 since 2007.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<i32>,
    /// Most virtual CPUs of one virtual machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_vcpus: Option<i32>,
}

/// The outcome of the KVM self-test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelfTest {
    /// The instructions ran and gave the right result.
    Passed,
    /// There is a KVM, but they did not.
    Failed,
    /// There is no KVM.
    Missing,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What the CPU is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CpuFacts {
    /// Its maker, as CPUID leaf 0 spells it.
    #[schemars(length(max = 32))]
    pub vendor: String,
    /// Its name, as the kernel shows it.
    #[schemars(length(max = 128))]
    pub model: String,
    /// Logical CPUs that are on line.
    pub logical_cpus: i32,
    /// NUMA nodes.
    pub numa_nodes: i32,
}

/// What a hypervisor has, before anything is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// CPU time, in thousandths of a CPU.
    pub cpu_millis: i32,
    /// Memory, in bytes.
    pub memory_bytes: i64,
    /// Size of the file system that keeps `Local` disks, in bytes.
    pub local_disk_bytes: i64,
}

/// One feature of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    /// Its name, such as `cgroup-cpu`.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Whether the node has it.
    pub state: FeatureState,
    /// What cannot be had here without it.
    #[schemars(length(max = 256))]
    pub needed_for: String,
}

/// Whether a node has a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FeatureState {
    /// It does.
    Present,
    /// It does not.
    Missing,
    /// A value from a newer schema than this program knows; treated as `Missing`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Name of the feature that enforces CPU floors: cgroup v2 `cpu`.
pub const FEATURE_CGROUP_CPU: &str = "cgroup-cpu";
/// Name of the feature that enforces memory floors: cgroup v2 `memory`.
pub const FEATURE_CGROUP_MEMORY: &str = "cgroup-memory";

/// Name of the feature that carries tenants' networks between nodes: VXLAN
/// devices.
pub const FEATURE_VXLAN: &str = "vxlan";
/// Name of the feature that joins the ports of a network on a node.
pub const FEATURE_BRIDGE: &str = "bridge";
/// Name of the feature that is a guest's network card on the node's side.
pub const FEATURE_TAP: &str = "tap";
/// Name of the feature that keeps guests from using others' addresses: nft's
/// families `bridge` and `netdev`.
pub const FEATURE_NFTABLES: &str = "nftables";
/// What a node needs to host interfaces of servers.
pub const NETWORK_FEATURES: [&str; 4] =
    [FEATURE_VXLAN, FEATURE_BRIDGE, FEATURE_TAP, FEATURE_NFTABLES];

/// A QEMU bundle on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// Digest of its content; also the name of its directory.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// Version of the QEMU in it.
    #[schemars(length(max = 64))]
    pub qemu_version: String,
}

/// A guest that runs though no VirtualServer says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// UID of the VirtualServer that it was started for.
    pub server_uid: Uid,
    /// `namespace/name` of that VirtualServer.
    #[schemars(length(max = 128))]
    pub server: String,
    /// The epoch that it was started under, where the log still knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Why it counts as an orphan, in one CamelCase word.
    #[schemars(length(max = 128))]
    pub reason: String,
}
