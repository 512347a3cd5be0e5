//! Objects that the attempts are about, under names of their own.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::api::{Kind, Server};

/// The UID and the log in all fixtures.
pub const ID: &str = "00000000-0000-4000-8000-000000000001";

/// Reads an object, or a part of one, from YAML.
pub fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error} in:\n{text}"))
}

/// A valid object of each kind.
pub fn base(kind: &str) -> Value {
    yaml(match kind {
        "VirtualServer" => {
            "spec: {serverClassName: admit-none, bootDiskName: root, powerState: PoweredOff,
                    disks: [{name: root, diskName: admit-none}]}"
        }
        "Disk" => "spec: {size: 1Gi, diskClassName: admit-none}",
        "ServerClass" => {
            "spec: {resourceType: BestEffort, virtual: {vcpus: 2, memory: 1Gi, cpuFloorMillis: 500}}"
        }
        "DiskClass" => "spec: {resourceType: BestEffort, backend: Local}",
        "ServerImage" => {
            "spec: {url: 'http://images.example/a.qcow2', format: Qcow2, firmware: Bios,
                    minimumDisk: 1Gi,
                    sha256: '0000000000000000000000000000000000000000000000000000000000000000'}"
        }
        "Hypervisor" => "spec: {scheduling: Disabled, reserved: {memory: 1Gi, cpuMillis: 100}}",
        // Its gateway is no address that a router can have, so that an operator
        // which is there gives it no VNI.
        "TenantNetwork" => {
            "spec: {mtu: 1400, subnets: [{name: main, cidr: 10.20.0.0/24, gateway: 10.20.0.0}]}"
        }
        "NetworkSegment" => {
            "spec: {vni: 7, network: {namespace: admit-none, name: net,
                    uid: 00000000-0000-4000-8000-000000000001}}"
        }
        "NetworkPort" => {
            "spec: {tenantNetworkName: net, networkUid: 00000000-0000-4000-8000-000000000001,
                    vni: 7, serverName: web, serverUid: 00000000-0000-4000-8000-000000000001,
                    interfaceName: net0, macAddress: '02:00:00:00:00:01', addresses: [10.20.0.10],
                    binding: {nodeName: admit-a, epoch: 5}}"
        }
        "AddressClaim" => {
            "spec: {tenantNetworkName: net, networkUid: 00000000-0000-4000-8000-000000000001,
                    address: 10.20.0.10, portName: web.net0,
                    serverUid: 00000000-0000-4000-8000-000000000001}"
        }
        other => panic!("no fixture of kind {other}"),
    })
}

/// A name for an object of a kind, and the object: some kinds are named after
/// what they hold. `vni` is for segments, which no namespace keeps apart.
pub fn named(kind: &str, stem: &str, vni: u32) -> (String, Value) {
    let mut object = base(kind);
    let name = match kind {
        "NetworkSegment" => {
            object["spec"]["vni"] = vni.into();
            format!("vni-{vni}")
        }
        "NetworkPort" => {
            object["spec"]["serverName"] = stem.into();
            format!("{stem}.net0")
        }
        "AddressClaim" => {
            object["spec"]["tenantNetworkName"] = stem.into();
            format!("{stem}.10.20.0.10")
        }
        _ => stem.to_owned(),
    };
    (name, object)
}

/// A VNI that only this process uses, of some million numbers for each `use_`.
pub fn own_vni(use_: u32) -> u32 {
    10_000_000 + use_ * 1_000_000 + std::process::id() % 1_000_000
}

/// What is stored for one test and removed after it.
pub struct Fixtures {
    server: Server,
    /// The namespace that is this test's alone.
    pub namespace: String,
    stored: Vec<(Kind, String)>,
}

impl Fixtures {
    /// A namespace for a test; names carry the process, so that a run never
    /// meets what an earlier one left.
    pub async fn begin(server: &Server, test: &str) -> Self {
        let namespace = format!("admit-{test}-{}", std::process::id());
        let fixtures = Self { server: server.clone(), namespace, stored: Vec::new() };
        let kind = Kind::of_kubernetes("", "Namespace", false);
        fixtures.create(&kind, &fixtures.namespace, json!({})).await;
        fixtures
    }

    /// Stores an object, with its status where one is given.
    pub async fn store(&mut self, kind: &Kind, name: &str, object: Value, status: Option<Value>) {
        self.create(kind, name, object).await;
        self.stored.push((kind.clone(), name.to_owned()));
        if let Some(status) = status {
            self.server
                .objects(kind, &self.namespace)
                .patch_status(
                    name,
                    &PatchParams::default(),
                    &Patch::Merge(json!({"status": status})),
                )
                .await
                .unwrap_or_else(|error| panic!("store the status of {name}: {error}"));
        }
    }

    async fn create(&self, kind: &Kind, name: &str, object: Value) {
        let object = serde_json::from_value(kind.object(name, object)).expect("an object");
        self.server
            .objects(kind, &self.namespace)
            .create(&PostParams::default(), &object)
            .await
            .unwrap_or_else(|error| panic!("store {name}: {error}"));
    }

    /// Removes everything, and only then says what went wrong.
    pub async fn end(self, failures: &[String]) {
        for (kind, name) in self.stored.iter().rev() {
            let api = self.server.objects(kind, &self.namespace);
            // No hypervisor will ever release what was never there.
            let mut strip = json!({"metadata": {"finalizers": null}});
            if kind.is_of_suigen("VirtualServer") {
                strip["spec"] = json!({"deletionProtection": "Disabled"});
            }
            let removed = match api.patch(name, &PatchParams::default(), &Patch::Merge(strip)).await
            {
                Ok(_) => api.delete(name, &DeleteParams::default()).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                eprintln!("{name} is left behind: {error}");
            }
        }
        let namespaces = self.server.objects(&Kind::of_kubernetes("", "Namespace", false), "");
        let _ = namespaces.delete(&self.namespace, &DeleteParams::default()).await;
        assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    }
}
