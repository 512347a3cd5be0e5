//! Servers in a tenant's network.

use suigen_e2e::scenario::manifest::Network;

use crate::guest::Guest;
use crate::harness::{SOON, Scenario, UP};
use crate::net::{self, IN_WEB};

/// Two servers of one network on two nodes.
fn a_pair(scenario: &Scenario) -> (Guest<'_>, Guest<'_>) {
    let in_web = |name| {
        let mut server = scenario.tiny(name);
        server.spec = &[IN_WEB];
        server.yaml()
    };
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    scenario.wait("tenantnetwork/web", "Ready", SOON);
    scenario.apply_on("node-a", &in_web("a"), &["a"]);
    scenario.apply_on("node-b", &in_web("b"), &["b"]);
    (Guest::up(scenario, "a"), Guest::up(scenario, "b"))
}

#[test]
fn e2e_two_servers_on_two_nodes_talk() {
    let scenario = Scenario::shared("talk");
    let (a, b) = a_pair(&scenario);
    let (to_a, to_b) = (net::address(&scenario, "a"), net::address(&scenario, "b"));
    let (mut in_a, mut in_b) = (a.session(), b.session());
    net::has_address(&mut in_a, &to_a);
    net::has_address(&mut in_b, &to_b);

    // What DHCP said beside the address.
    assert_eq!(in_a.run("hostname"), "a");
    assert!(in_a.run("ip -4 addr show eth0").contains("/24"));
    assert_eq!(in_a.run("cat /sys/class/net/eth0/mtu"), "1450");
    assert!(in_a.run("ip route").contains("default via 10.20.0.1"));
    assert!(in_a.run("cat /etc/resolv.conf").contains("10.20.0.53"));

    net::pings(&mut in_a, &to_b);
    net::pings(&mut in_b, &to_a);
    // The largest packet that the network promises.
    assert!(in_a.run(&format!("ping -c 2 -s 1422 {to_b}")).contains("2 packets received"));
    in_b.run("dd if=/dev/urandom of=/tmp/file bs=1024 count=512 2>/dev/null; httpd -p 80 -h /tmp");
    let sum = in_b.run("md5sum </tmp/file");
    assert_eq!(in_a.run(&format!("wget -q -O - http://{to_b}/file | md5sum")), sum);

    the_objects_say_so(&scenario, &a, &b);
    a_network_with_servers_waits_for_them(&scenario, &mut in_a, &to_b);
    nothing_is_left(&scenario, &a, &b);
}

fn the_objects_say_so(scenario: &Scenario, a: &Guest<'_>, b: &Guest<'_>) {
    let vni = net::vni(scenario, "web");
    for guest in [a, b] {
        let port = format!("networkport/{}.eth0", guest.name);
        assert_eq!(scenario.field(&port, "{.spec.serverUid}"), guest.uid);
        assert_eq!(scenario.field(&port, "{.spec.binding.nodeName}"), guest.node);
        assert_eq!(scenario.field(&port, "{.spec.vni}"), vni);
        let address = net::address(scenario, &guest.name);
        let claim = format!("addressclaim/web.{address}");
        assert_eq!(scenario.field(&claim, "{.spec.portName}"), format!("{}.eth0", guest.name));
        assert_eq!(scenario.field(&claim, "{.spec.serverUid}"), guest.uid);
    }
    let segment = format!("networksegment/vni-{vni}");
    let network = scenario.field("tenantnetwork/web", "{.metadata.uid}");
    assert_eq!(scenario.field(&segment, "{.spec.network.uid}"), network);
    assert_eq!(scenario.field(&segment, "{.status.hosts}"), r#"["node-a","node-b"]"#);
    scenario.wait_field("tenantnetwork/web", "{.status.ports}", |ports| ports == "2");
    // 256 less network, broadcast, gateway, resolver and two servers.
    scenario.wait_field("tenantnetwork/web", "{.status.freeAddresses}", |free| free == "250");
    let elsewhere = net::in_tenants(scenario, "node-c", "ip -o link");
    assert!(!elsewhere.contains(&format!("-{vni}:")), "node-c hosts nothing of it: {elsewhere}");
}

fn a_network_with_servers_waits_for_them(
    scenario: &Scenario,
    in_a: &mut crate::guest::Session,
    to_b: &str,
) {
    scenario.kubectl(&["delete", "tenantnetwork/web", "--wait=false"]);
    scenario.says("tenantnetwork/web", "Ready", &["PortsRemain", "a", "b"]);
    let mut late = scenario.tiny("late");
    late.spec = &[IN_WEB];
    scenario.apply(&late.yaml());
    scenario.says("virtualserver/late", "InterfacesReady", &["TenantNetworkTerminating", "web"]);
    net::pings(in_a, to_b);
}

fn nothing_is_left(scenario: &Scenario, a: &Guest<'_>, b: &Guest<'_>) {
    let vni = net::vni(scenario, "web");
    scenario.kubectl(&["delete", "virtualserver", "--all", "--timeout=180s"]);
    let web = scenario.named("tenantnetwork/web");
    suigen_e2e::scenario::wait(scenario.cluster, web, "delete", UP)
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(scenario.kubectl(&["get", "networkports,addressclaims", "--output=name"]), "");
    let segment = format!("networksegment/vni-{vni}");
    assert_eq!(scenario.field(&segment, "{.status.phase}"), "Releasing");
    // Each host says that it has nothing of it, and is believed only because it is so.
    scenario.wait_field(&segment, "{.status.tornDown[*].nodeName}", |nodes| {
        nodes.contains("node-a") && nodes.contains("node-b")
    });
    for guest in [a, b] {
        assert_eq!(guest.leftovers(&[]), Vec::<String>::new());
        let links = net::in_tenants(scenario, &guest.node, "ip -o link");
        assert!(!links.contains(&format!("-{vni}:")), "{}: {links}", guest.node);
    }
}

#[test]
fn e2e_a_network_without_subnets_carries_what_guests_give_themselves() {
    let scenario = Scenario::shared("layer-2");
    let mut pair = format!(
        "---
apiVersion: suigen.dev/v1alpha1
kind: TenantNetwork
metadata: {{name: web, namespace: {}}}
spec: {{mtu: 1400}}
",
        scenario.namespace
    );
    for name in ["a", "b"] {
        let mut server = scenario.tiny(name);
        server.spec = &[IN_WEB];
        pair.push_str(&server.yaml());
    }
    scenario.apply(&pair);
    let (a, b) = (Guest::up(&scenario, "a"), Guest::up(&scenario, "b"));
    let (mut in_a, mut in_b) = (a.session(), b.session());
    for (guest, address) in [(&mut in_a, "192.168.7.1"), (&mut in_b, "192.168.7.2")] {
        guest.run("kill $(pidof udhcpc)");
        guest.run(&format!("ip addr add {address}/24 dev eth0"));
    }
    net::pings(&mut in_a, "192.168.7.2");
    assert_eq!(scenario.field("tenantnetwork/web", "{.status.mtu}"), "1400");
}

#[test]
fn e2e_deleting_a_namespace_ends_its_networks_too() {
    let scenario = Scenario::shared("net-whole");
    let mut server = scenario.tiny("a");
    server.spec = &[IN_WEB];
    scenario.apply(&(Network::web(&scenario.namespace).yaml() + &server.yaml()));
    let guest = Guest::up(&scenario, "a");
    let vni = net::vni(&scenario, "web");
    let namespace = scenario.namespace.as_str();
    scenario
        .cluster
        .kubectl(&["delete", "namespace", namespace, "--timeout=180s"])
        .expect("the namespace should go without help");
    assert_eq!(guest.leftovers(&[]), Vec::<String>::new());
    let phase = scenario.field(&format!("networksegment/vni-{vni}"), "{.status.phase}");
    assert_eq!(phase, "Releasing");
}
