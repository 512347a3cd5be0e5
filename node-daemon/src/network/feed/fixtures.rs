//! Objects and facts for the tests of the pure parts.

use serde_json::{Value, json};
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::network_port::NetworkPort;
use suigen_crds::tenant_network::TenantNetwork;

use super::facts::Facts;

pub const NETWORK: u8 = 0x40;

pub fn uid(n: u8) -> Uid {
    format!("0a0000{n:02x}-0000-4000-8000-0000000000{n:02x}").try_into().unwrap()
}

pub fn node(name: &str) -> NodeName {
    name.to_owned().try_into().unwrap()
}

/// The port `n`, of the server `0x80 + n`, at 10.20.0.n in the one network.
pub fn port(n: u8, bound: (&str, i64)) -> NetworkPort {
    changed_port(n, bound, |_| ())
}

pub fn changed_port(n: u8, (node, epoch): (&str, i64), change: impl Fn(&mut Value)) -> NetworkPort {
    let server = format!("web-{n}");
    let mut object = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "NetworkPort",
        "metadata": {"name": format!("{server}.eth0"), "namespace": "acme", "uid": uid(n),
            "creationTimestamp": format!("2026-01-01T00:00:{n:02}Z")},
        "spec": {"tenantNetworkName": "web", "networkUid": uid(NETWORK), "vni": 5001,
            "serverName": server, "serverUid": uid(0x80 + n), "interfaceName": "eth0",
            "macAddress": format!("02:00:00:00:00:{n:02x}"),
            "addresses": [format!("10.20.0.{n}")],
            "binding": {"nodeName": node, "epoch": epoch}},
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

pub fn terminating_port(n: u8, bound: (&str, i64)) -> NetworkPort {
    changed_port(n, bound, |port| {
        port["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
    })
}

pub fn network() -> TenantNetwork {
    changed_network(|_| ())
}

pub fn changed_network(change: impl Fn(&mut Value)) -> TenantNetwork {
    let mut object = json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "TenantNetwork",
        "metadata": {"name": "web", "namespace": "acme", "uid": uid(NETWORK)},
        "spec": {"subnets": [{"name": "v4", "cidr": "10.20.0.0/24", "gateway": "10.20.0.1",
            "nameservers": ["10.20.0.2"]}]},
        "status": {"vni": 5001, "mtu": 1450},
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

pub fn hypervisor(name: &str, address: Option<&str>) -> Hypervisor {
    let underlay = address.map(|address| json!({"address": address, "mtu": 1500}));
    serde_json::from_value(json!({
        "apiVersion": "suigen.dev/v1alpha1", "kind": "Hypervisor",
        "metadata": {"name": name, "uid": uid(0x70)},
        "spec": {"reserved": {"memory": "1Gi", "cpuMillis": 0}},
        "status": {"underlay": underlay},
    }))
    .unwrap()
}

/// The node a has port 10, the node b port 11.
pub fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.hear_network(&network());
    facts.hear_port(&port(10, ("node-a", 1)));
    facts.hear_port(&port(11, ("node-b", 1)));
    facts.hear_hypervisor(&hypervisor("node-b", Some("192.0.2.2")));
    facts
}
