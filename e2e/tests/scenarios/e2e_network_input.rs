//! What a person gets wrong about networks, and what they are told.

use suigen_e2e::scenario;
use suigen_e2e::scenario::manifest::{Network, Server};

use crate::guest::Guest;
use crate::harness::{SOON, Scenario};
use crate::net::{self, IN_WEB};

/// A server that is never started: it only asks for an interface.
fn asks(scenario: &Scenario, name: &str, interface: &str) {
    let line = format!("networkInterfaces: [{{name: eth0, tenantNetworkName: {interface}}}]");
    scenario.apply(&Server { spec: &[&line], ..scenario.tiny(name) }.yaml());
}

#[test]
fn e2e_the_api_server_refuses_networks_that_cannot_be() {
    let scenario = Scenario::shared("net-rules");
    let web = Network::web(&scenario.namespace);
    for (network, said) in [
        (Network { cidr: "10.20.0.7/24", ..web.clone() }, "bits set after its prefix"),
        (Network { cidr: "10.20.0.0/31", ..web.clone() }, "8 to 30 bits"),
        (Network { cidr: "fd00::/64", subnet: &[], ..web.clone() }, "only IPv4"),
        (Network { cidr: "169.254.0.0/24", subnet: &[], ..web.clone() }, "169.254.0.0/16"),
        (Network { subnet: &["gateway: 10.21.0.1"], ..web.clone() }, "an address of the subnet"),
        (
            Network {
                subnet: &["gateway: 10.20.0.1", "", "- {name: two, cidr: 10.20.0.128/25}"],
                ..web
            },
            "must not overlap",
        ),
    ] {
        let yaml = network.yaml().replace("\n    - {name: two", "\n  - {name: two");
        let refused = scenario::apply(scenario.cluster, &yaml);
        let refused = format!("{:#}", refused.expect_err("it must be refused"));
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn e2e_a_network_that_cannot_be_made_says_why() {
    let scenario = Scenario::shared("net-stalled");
    let web = Network::web(&scenario.namespace);
    for (address, name) in [("10.20.0.0", "first"), ("10.20.0.255", "last")] {
        let gateway = format!("gateway: {address}");
        scenario.apply(&Network { name, subnet: &[&gateway], ..web.clone() }.yaml());
        let network = format!("tenantnetwork/{name}");
        scenario.says(&network, "Stalled", &["GatewayIsReserved", address]);
    }
    scenario.apply(&Network { name: "jumbo", spec: &["mtu: 9000"], ..web }.yaml());
    let said = ["MtuDoesNotFit", "node-a", "1450"];
    scenario.says("tenantnetwork/jumbo", "Stalled", &said);
    asks(&scenario, "big", "jumbo");
    scenario.says("virtualserver/big", "InterfacesReady", &["TenantNetworkNotReady", "jumbo"]);
}

#[test]
fn e2e_a_missing_network_is_waited_for_by_name() {
    let scenario = Scenario::shared("no-net");
    asks(&scenario, "early", "web");
    scenario.says("virtualserver/early", "InterfacesReady", &["TenantNetworkNotFound", "web"]);
    scenario.says("virtualserver/early", "Ready", &["web"]);
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    Guest::up(&scenario, "early");
}

#[test]
fn e2e_addresses_that_cannot_be_given_are_named_with_the_reason() {
    let scenario = Scenario::shared("addresses");
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    asks(&scenario, "owner", "web, addresses: [10.20.0.10], macAddress: \"02:00:00:00:00:10\"");
    scenario.wait_field("addressclaim/web.10.20.0.10", "{.spec.serverUid}", |uid| !uid.is_empty());
    scenario.wait_field("networkport/owner.eth0", "{.spec.macAddress}", |mac| !mac.is_empty());
    for (name, interface, said) in [
        ("outside", "web, addresses: [10.21.0.10]", ["AddressOutsideSubnet", "10.21.0.10"]),
        ("gateway", "web, addresses: [10.20.0.1]", ["AddressReserved", "10.20.0.1"]),
        ("broadcast", "web, addresses: [10.20.0.255]", ["AddressReserved", "10.20.0.255"]),
        ("two", "web, addresses: [10.20.0.20, 10.20.0.21]", ["TwoAddressesInOneSubnet", "eth0"]),
        ("taken", "web, addresses: [10.20.0.10]", ["AddressTaken", "owner"]),
        ("twin", "web, macAddress: \"02:00:00:00:00:10\"", ["MacAddressTaken", "owner"]),
    ] {
        asks(&scenario, name, interface);
        scenario.says(&format!("virtualserver/{name}"), "InterfacesReady", &said);
    }
    // What is freed is given to whoever waits for it.
    scenario.kubectl(&["delete", "virtualserver/owner", "--timeout=180s"]);
    let taken = scenario.field("virtualserver/taken", "{.metadata.uid}");
    let claim = "addressclaim/web.10.20.0.10";
    scenario.wait_field(claim, "{.spec.serverUid}", |uid| uid == taken);
    let twin = scenario.field("virtualserver/twin", "{.metadata.uid}");
    scenario.wait_field("networkport/twin.eth0", "{.spec.serverUid}", |uid| uid == twin);
}

#[test]
fn e2e_a_full_network_gives_its_last_address_once() {
    let scenario = Scenario::shared("full-net");
    let small = Network { cidr: "10.20.0.0/30", subnet: &[], ..Network::web(&scenario.namespace) };
    scenario.apply(&small.yaml());
    for name in ["a", "b", "c"] {
        asks(&scenario, name, "web");
    }
    let with = |reason: &str| {
        let path = r#"{range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="InterfacesReady")].reason}{"\n"}{end}"#;
        let all = scenario.field("virtualserver", path);
        let with = all.lines().filter_map(|line| line.strip_suffix(&format!(" {reason}")));
        with.map(str::to_owned).collect::<Vec<_>>()
    };
    let without = suigen_e2e::progress::wait_for("one server without an address", SOON, || {
        let without = with("NoFreeAddress");
        Ok((without.len() == 1 && with("PortsBound").len() == 2).then_some(without))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {:?}", with("NoFreeAddress")));
    let waiting = format!("virtualserver/{}", without[0]);
    scenario.says(&waiting, "InterfacesReady", &["NoFreeAddress", "web", "delete a server"]);
    let claims = scenario.kubectl(&["get", "addressclaims", "--output=name"]);
    assert_eq!(claims.lines().count(), 2, "{claims}");
    let first = with("PortsBound").swap_remove(0);
    scenario.delete(&format!("virtualserver/{first}"));
    scenario.says(&waiting, "InterfacesReady", &["PortsBound"]);
}

#[test]
fn e2e_a_vni_that_somebody_else_uses_on_a_node_is_named_and_left_alone() {
    let scenario = Scenario::shared("foreign");
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    let vni = net::vni(&scenario, "web");
    let foreign = format!("f{vni}");
    let make = format!(
        "ip link add {foreign} type vxlan id {vni} dstport 4789 local 10.77.0.13 && ip link set {foreign} up"
    );
    net::on_node(&scenario, "node-c", &make);
    let remove = RemoveLink { scenario: &scenario, link: &foreign };
    let server = Server { spec: &[IN_WEB], ..scenario.tiny("late") };
    scenario.apply_on("node-c", &server.yaml(), &["late"]);
    let said = ["TakenBySomebodyElse", vni.as_str(), "4789"];
    scenario.says("virtualserver/late", "InterfacesReady", &said);
    assert_eq!(scenario.field("networkport/late.eth0", "{.status.state}"), "Failed");
    net::on_node(&scenario, "node-c", &format!("ip link show {foreign}"));
    drop(remove);
    Guest::up(&scenario, "late");
    scenario.wait_field("networkport/late.eth0", "{.status.state}", |state| state == "Ready");
}

struct RemoveLink<'a> {
    scenario: &'a Scenario,
    link: &'a str,
}

impl Drop for RemoveLink<'_> {
    fn drop(&mut self) {
        net::on_node(self.scenario, "node-c", &format!("ip link del {}", self.link));
    }
}
