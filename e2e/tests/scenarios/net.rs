//! What the scenarios of networks share: servers in a network, what their
//! guests say of it, and what nodes have of it.

use std::path::PathBuf;

use suigen_e2e::lab::node::Node;
use suigen_e2e::scenario;
use suigen_node_daemon::network::netlink::netns::Namespace;

use crate::guest::Session;
use crate::harness::Scenario;

/// The line of a server's spec that puts it into the network `web`.
pub const IN_WEB: &str = "networkInterfaces: [{name: eth0, tenantNetworkName: web}]";

/// Runs a command in the namespace of the tenants on a node.
pub fn in_tenants(scenario: &Scenario, node: &str, command: &str) -> String {
    let enter = format!("nsenter --net=/run/suigen/netns/suigen sh -c '{command}'");
    on_node(scenario, node, &enter)
}

/// Runs a shell command on a node.
pub fn on_node(scenario: &Scenario, node: &str, command: &str) -> String {
    scenario::on_node(scenario.cluster, node, &["sh", "-c", command])
        .unwrap_or_else(|error| panic!("{node}: {error:#}"))
}

/// The network namespace of a node, and that of the tenants on it.
pub fn namespaces(scenario: &Scenario, node: &str) -> [Namespace; 2] {
    let lab = scenario.cluster.lab().expect("a lab");
    let init = Node::new(lab, lab.node(node).expect("the node")).init();
    let init = init.expect("find the node").expect("the node is on");
    let proc = PathBuf::from("/proc").join(init.pid.to_string());
    [proc.join("ns/net"), proc.join("root/run/suigen/netns/suigen")]
        .map(|path| Namespace::open(&path).expect("open a namespace of the node"))
}

/// The VNI of a network, once it has one.
pub fn vni(scenario: &Scenario, network: &str) -> String {
    let object = format!("tenantnetwork/{network}");
    scenario.wait_field(&object, "{.status.vni}", |vni| !vni.is_empty())
}

/// The address that the API says a server has.
pub fn address(scenario: &Scenario, server: &str) -> String {
    let object = format!("virtualserver/{server}");
    scenario.wait_field(&object, "{.status.interfaces[0].addresses[0]}", |it| !it.is_empty())
}

/// Waits until the guest has an address from DHCP.
pub fn has_address(guest: &mut Session, address: &str) {
    let asked = format!(
        "n=0; until ip -4 addr show eth0 | grep -q 'inet {address}/' || [ $n -gt 40 ]; do n=$((n+1)); sleep 0.5; done; ip -4 addr show eth0"
    );
    let said = guest.run(&asked);
    assert!(said.contains(&format!("inet {address}/")), "no {address} by DHCP: {said}");
}

/// Pings from a guest and insists that every answer comes.
pub fn pings(guest: &mut Session, address: &str) {
    // The first packet may wait for ARP on both sides of an emulated guest.
    let said =
        guest.run(&format!("ping -c 1 -W 10 {address} >/dev/null; ping -c 3 -W 5 {address}"));
    assert!(said.contains("3 packets received"), "{said}");
}
