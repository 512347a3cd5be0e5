//! Objects for tests, as short as their manifests.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::disk::Disk;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::server_class::ServerClass;
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;

use crate::placement::fleet::{Sources, count};
use crate::virtual_server::observe::{Host, MADE_FOR, Observed, Wanted, disk_name};
use crate::watch::lookup::Lookup;

/// UID of the server that tests are about.
pub const SERVER: &str = "00000000-0000-4000-8000-0000000000aa";
/// UID of its disk.
pub const DISK: &str = "00000000-0000-4000-8000-0000000000dd";
/// The log of every hypervisor here.
pub const LOG: &str = "00000000-0000-4000-8000-000000000011";

/// Puts `with` over `base`, field by field.
pub fn over(base: &mut Value, with: Value) {
    match (base, with) {
        (Value::Object(base), Value::Object(with)) => {
            for (key, value) in with {
                over(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, with) => *base = with,
    }
}

fn built<K: serde::de::DeserializeOwned>(mut base: Value, with: Value) -> K {
    over(&mut base, with);
    serde_json::from_value(base).unwrap()
}

/// A server `web` with one disk from a template.
pub fn server(with: Value) -> VirtualServer {
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "VirtualServer",
        "metadata": {
            "name": "web", "namespace": "acme", "uid": SERVER, "resourceVersion": "10",
            "generation": 1, "finalizers": ["suigen.dev/release"],
        },
        "spec": {
            "serverClassName": "small", "bootDiskName": "root",
            "disks": [{"name": "root", "template":
                {"size": "1Gi", "diskClassName": "local", "imageName": "tiny", "reclaimPolicy": "Delete"}}],
        },
    });
    built(base, with)
}

/// Its disk `web-root`, resolved and not given to anybody.
pub fn disk(with: Value) -> Disk {
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "Disk",
        "metadata": {
            "name": "web-root", "namespace": "acme", "uid": DISK, "resourceVersion": "20",
            "generation": 1, "finalizers": ["suigen.dev/release"],
            "annotations": {MADE_FOR: SERVER},
        },
        "spec": {"size": "1Gi", "diskClassName": "local", "imageName": "tiny", "reclaimPolicy": "Delete"},
        "status": {"source": {"backend": "Local", "image": {
            "url": "http://x/tiny", "sha256": "0".repeat(64), "format": "Qcow2", "firmware": "Uefi"}}},
    });
    built(base, with)
}

/// What makes a disk the server's, under an epoch, with a volume in a state.
pub fn given(epoch: i64, volume: &str) -> Value {
    json!({"status": {
        "nodeName": "node-a", "attachEpoch": epoch,
        "attachment": {"serverName": "web", "serverUid": SERVER, "serverEpoch": epoch, "attachEpoch": epoch},
        "volume": {"nodeName": "node-a", "state": volume},
    }})
}

/// A placement on node-a.
pub fn placed(epoch: i64) -> Value {
    json!({"status": {"placement": {
        "nodeName": "node-a", "epoch": epoch, "walId": LOG, "firmware": "Uefi",
        "class": {"name": "small", "resourceType": "BestEffort", "vcpus": 1, "memoryBytes": 1 << 30, "cpuFloorMillis": 500},
        "disks": [{"name": "root", "diskName": "web-root", "diskUid": DISK}],
    }}})
}

/// What node-a says.
pub fn said(epoch: i64, state: &str) -> Value {
    let released = matches!(state, "Released" | "Refused").then_some(epoch);
    json!({"status": {"runtime":
        {"nodeName": "node-a", "epoch": epoch, "state": state, "releasedEpoch": released}}})
}

/// A class of 1 GiB.
pub fn class(with: Value) -> ServerClass {
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "ServerClass", "metadata": {"name": "small"},
        "spec": {"resourceType": "BestEffort", "virtual": {"vcpus": 1, "memory": "1Gi", "cpuFloorMillis": 500}},
    });
    built(base, with)
}

/// A hypervisor that is ready, with room for three such servers.
pub fn hypervisor(name: &str, with: Value) -> Hypervisor {
    let condition = |type_: &str| {
        json!({"type": type_, "status": "True", "reason": "R", "message": "m",
            "lastTransitionTime": Timestamp::UNIX_EPOCH})
    };
    let feature = |name: &str| json!({"name": name, "state": "Present", "neededFor": "x"});
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "Hypervisor", "metadata": {"name": name},
        "spec": {"reserved": {"memory": "1Gi", "cpuMillis": 500}},
        "status": {
            "walId": LOG,
            "capacity": {"cpuMillis": 4500, "memoryBytes": 5_i64 << 30, "localDiskBytes": 10_i64 << 30},
            "features": [feature("cgroup-cpu"), feature("cgroup-memory")],
            "conditions": [condition("Qualified"), condition("Ready")],
        },
    });
    built(base, with)
}

/// A look at a server whose class and disk are there, with node-a and node-b.
pub fn observed(server: VirtualServer, disk: Option<Disk>) -> Observed {
    let disk = disk.map(Arc::new);
    let hypervisors =
        [hypervisor("node-a", json!({})), hypervisor("node-b", json!({}))].map(Arc::new);
    let entry = server.spec.disks[0].clone();
    let name = disk_name(&server, &entry);
    let lookup = disk.clone().map_or(Lookup::Missing, Lookup::Found);
    let placed = server.status.as_ref().is_some_and(|status| status.placement.is_some());
    Observed {
        deletion: crate::finalizer::deletion(&server, false),
        class: Lookup::Found(Arc::new(class(json!({})))),
        disks: vec![Wanted { entry, name, disk: lookup, promised: false }],
        held: disk.into_iter().collect(),
        interfaces: Default::default(),
        host: if placed { Host::Heard } else { Host::None },
        fleet: count(&Sources {
            hypervisors: &hypervisors,
            servers: &[],
            disks: &[],
            promises: Vec::new(),
            blind: Default::default(),
        }),
        refusals: Vec::new(),
        behind: false,
        server: Arc::new(server),
    }
}

/// What marks an object as one that is to go.
pub fn deleted() -> Value {
    json!({"metadata": {"deletionTimestamp": Timestamp::UNIX_EPOCH}})
}

/// Several changes over each other.
pub fn all<const N: usize>(changes: [Value; N]) -> Value {
    let mut sum = json!({});
    changes.into_iter().for_each(|change| over(&mut sum, change));
    sum
}

/// UID of the network that tests are about.
pub const NETWORK: &str = "00000000-0000-4000-8000-0000000000ee";

/// A network `blue` with one subnet, resolved.
pub fn network(with: Value) -> TenantNetwork {
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "TenantNetwork",
        "metadata": {
            "name": "blue", "namespace": "acme", "uid": NETWORK, "resourceVersion": "30",
            "generation": 1, "finalizers": ["suigen.dev/release"],
        },
        "spec": {"subnets": [{"name": "v4", "cidr": "10.20.0.0/24", "gateway": "10.20.0.1"}]},
    });
    built(base, with)
}

/// Its segment, made at the epoch.
pub fn segment(with: Value) -> NetworkSegment {
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "NetworkSegment",
        "metadata": {
            "name": "vni-5000", "uid": "00000000-0000-4000-8000-000000005000",
            "resourceVersion": "40", "creationTimestamp": Timestamp::UNIX_EPOCH,
        },
        "spec": {"vni": 5000, "network": {"namespace": "acme", "name": "blue", "uid": NETWORK}},
    });
    built(base, with)
}

/// The port of `web`'s interface in it, not bound.
pub fn port(with: Value) -> NetworkPort {
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "NetworkPort",
        "metadata": {
            "name": "web.eth0", "namespace": "acme", "resourceVersion": "50",
            "uid": "00000000-0000-4000-8000-0000000000bb", "finalizers": ["suigen.dev/release"],
            "creationTimestamp": Timestamp::UNIX_EPOCH, "annotations": {MADE_FOR: SERVER},
        },
        "spec": {
            "tenantNetworkName": "blue", "networkUid": NETWORK, "vni": 5000, "serverName": "web",
            "serverUid": SERVER, "interfaceName": "eth0", "macAddress": "02:00:00:00:00:01",
            "addresses": ["10.20.0.5"],
        },
    });
    built(base, with)
}

/// The claim on its address.
pub fn claim(with: Value) -> AddressClaim {
    let base = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "AddressClaim",
        "metadata": {
            "name": "blue.10.20.0.5", "namespace": "acme", "resourceVersion": "60",
            "uid": "00000000-0000-4000-8000-0000000000cc",
            "creationTimestamp": Timestamp::UNIX_EPOCH,
        },
        "spec": {
            "tenantNetworkName": "blue", "networkUid": NETWORK, "address": "10.20.0.5",
            "portName": "web.eth0", "serverUid": SERVER,
        },
    });
    built(base, with)
}
