//! What befalls networks while guests talk.

use std::time::Duration;

use suigen_e2e::demo::trouble;
use suigen_e2e::lab::address::NodeIndex;
use suigen_e2e::lab::fault::{self, Peer, Target};
use suigen_e2e::progress::wait_for;
use suigen_e2e::scenario::manifest::{Network, Server};
use suigen_e2e::scenario::pings::Pings;

use crate::guest::Guest;
use crate::harness::{SOON, Scenario, UP};
use crate::net::{self, IN_WEB};

/// Drift is to be repaired within 5 s; the rest is for a busy machine.
const REPAIRED: Duration = Duration::from_secs(15);

/// Two servers of one network, `a` on node-a and `b` on node-b, with addresses.
fn a_pair(scenario: &Scenario) -> [(Guest<'_>, String); 2] {
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    for (name, node) in [("a", "node-a"), ("b", "node-b")] {
        let server = Server { spec: &[IN_WEB], ..scenario.tiny(name) };
        scenario.apply_on(node, &server.yaml(), &[name]);
    }
    ["a", "b"].map(|name| {
        let guest = Guest::up(scenario, name);
        let address = net::address(scenario, name);
        net::has_address(&mut guest.session(), &address);
        (guest, address)
    })
}

#[test]
fn fault_what_somebody_breaks_in_a_nodes_network_is_repaired() {
    let scenario = Scenario::shared("drift");
    let [(a, _), (_, to_b)] = a_pair(&scenario);
    let mut in_a = a.session();
    net::pings(&mut in_a, &to_b);
    let vni = net::vni(&scenario, "web");
    let uid = scenario.field("networkport/a.eth0", "{.metadata.uid}");
    let (bridge, tunnel, tap) =
        (format!("sg-{vni}"), format!("sx-{vni}"), format!("st-{}", &uid[..8]));
    let mac =
        |port: &str| scenario.field(&format!("networkport/{port}.eth0"), "{.spec.macAddress}");
    let (mac_a, mac_b) = (mac("a"), mac("b"));
    let tenants = |command: &str| net::in_tenants(&scenario, "node-a", command);
    let element = format!("{{ \"{tap}\" . {mac_a} }}");
    for (what, damage, look, wanted) in [
        (
            "a deleted bridge",
            format!("ip link del {bridge}"),
            format!("ip -o link show master {bridge} 2>/dev/null; true"),
            tap.as_str(),
        ),
        (
            "a deleted tunnel",
            format!("ip link del {tunnel}"),
            format!("ip -o link show master {bridge}"),
            tunnel.as_str(),
        ),
        (
            "a deleted forwarding entry",
            format!("bridge fdb del {mac_b} dev {tunnel} self"),
            format!("bridge fdb show dev {tunnel}"),
            &format!("{mac_b} dst 10.77.0.12"),
        ),
        (
            "an entry that leads elsewhere",
            format!("bridge fdb replace {mac_b} dev {tunnel} dst 10.77.0.13 self"),
            format!("bridge fdb show dev {tunnel} | grep -v 10.77.0.13"),
            &format!("{mac_b} dst 10.77.0.12"),
        ),
        (
            "a deleted element of a set",
            format!("nft delete element bridge suigen port_mac {element}"),
            "nft list set bridge suigen port_mac".to_owned(),
            &format!("\"{tap}\" . {mac_a}"),
        ),
        (
            "a tap that is off",
            format!("ip link set {tap} down"),
            format!("ip -o link show up dev {tap}"),
            tap.as_str(),
        ),
    ] {
        tenants(&damage);
        wait_for(&format!("the repair of {what}"), REPAIRED, || {
            Ok(tenants(&look).contains(wanted).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}: {}", tenants(&look)));
        net::pings(&mut in_a, &to_b);
    }
}

/// What a node's network tells of changes, from a beginning to an end.
struct Changes<'a> {
    scenario: &'a Scenario,
    node: &'static str,
}

impl<'a> Changes<'a> {
    const FILES: [(&'static str, &'static str); 3] = [
        ("ip", "ip -ts monitor link address route"),
        ("bridge", "bridge -timestamp monitor all"),
        ("nft", "nft monitor"),
    ];

    fn watch(scenario: &'a Scenario, node: &'static str) -> Self {
        for (name, command) in Self::FILES {
            let log = format!("/tmp/changes.{name}");
            let start = format!("{command} >{log} 2>&1 </dev/null & echo $! >{log}.pid");
            net::in_tenants(scenario, node, &start);
        }
        Self { scenario, node }
    }

    fn end(self) -> String {
        let each = Self::FILES.map(|(name, _)| {
            format!("kill $(cat /tmp/changes.{name}.pid); cat /tmp/changes.{name}; ")
        });
        net::on_node(self.scenario, self.node, &(each.concat() + "rm -f /tmp/changes.*"))
    }
}

/// Waits until the node's bridges are at rest: the kernel tells once more of a
/// port when its forward delay has passed, 15 s after it came up.
fn at_rest(scenario: &Scenario, node: &str) {
    let look = "ip -d link show type bridge_slave | grep -o \"forward_delay_timer *[0-9.]*\"";
    wait_for("the bridges to be at rest", SOON, || {
        let timers = net::in_tenants(scenario, node, look);
        Ok(timers.lines().all(|timer| timer.ends_with(" 0.00")).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    // The kernel's timers are late by up to an eighth of their time.
    std::thread::sleep(Duration::from_secs(2));
}

#[test]
fn fault_no_packet_is_lost_and_nothing_changes_when_the_daemon_dies() {
    let scenario = Scenario::alone("net-daemon");
    let [(a, _), (_, to_b)] = a_pair(&scenario);
    let mut in_a = a.session();
    net::pings(&mut in_a, &to_b);
    at_rest(&scenario, "node-a");
    // A change that is made shows in what is watched, or its silence means nothing.
    let watched = Changes::watch(&scenario, "node-a");
    net::in_tenants(&scenario, "node-a", "ip link add probe type bridge; ip link del probe");
    assert!(watched.end().contains("probe"), "the monitor sees what happens");

    let watched = Changes::watch(&scenario, "node-a");
    in_a.keep_pinging(&to_b);
    trouble::kill_daemon(scenario.cluster, "node-a").expect("kill the daemon");
    trouble::delete_daemon_pod(scenario.cluster, "node-a").expect("delete its pod");
    // The console went with the daemon.
    let Pings { sent, received } = a.session().stop_pinging();
    let changes = watched.end();
    assert!(sent > 20, "only {sent} packets were sent");
    assert_eq!(sent, received, "packets were lost");
    assert_eq!(changes, "", "the kernel was told to change something");
}

/// What the guest's console showed, as its node keeps it: seen without the API server.
fn console_log(guest: &Guest<'_>) -> String {
    guest.on_node(&format!("cat /var/lib/suigen/servers/{}/serial.log", guest.uid))
}

#[test]
fn fault_without_the_api_server_networks_go_on() {
    let scenario = Scenario::alone("net-no-api");
    let [(a, to_a), (_, to_b)] = a_pair(&scenario);
    let mut in_a = a.session();
    net::pings(&mut in_a, &to_b);
    // Asks for its address again and again, and shows each answer on its console.
    in_a.run("kill $(pidof udhcpc)");
    in_a.run(&format!(
        "( (while :; do udhcpc -n -q -S -i eth0 -s /etc/udhcpc -t 5 -T 1 >/dev/null 2>&1 && \
         ping -c 1 -W 5 {to_b} >/dev/null && echo \"still here: $(ip -4 -o addr show eth0)\" >/dev/ttyS0; \
         sleep 1; done) </dev/null >/dev/null 2>&1 &)"
    ));
    drop(in_a);
    let daemon = a.on_node("pgrep -o -x node-daemon");
    let lab = scenario.cluster.lab().expect("a lab");
    let api = Target::parse(lab, "kube-apiserver").expect("find the API server");
    api.freeze(lab).expect("freeze the API server");
    let thaw = Thaw(&api, lab);
    let answers = || console_log(&a).matches(&format!("inet {to_a}/24")).count();
    let more = |what: &str| {
        let before = answers();
        wait_for(what, SOON, || Ok((answers() > before + 3).then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}"));
    };
    more("DHCP and ping without the API server");
    a.on_node("kill -9 $(pgrep -x node-daemon)");
    wait_for("the next daemon", SOON, || {
        let now = a.on_node("pgrep -o -x node-daemon; true");
        Ok((!now.is_empty() && now != daemon).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    more("DHCP and ping from a daemon that never saw the API server");
    drop(thaw);
    scenario.wait(&a.object(), "Ready", UP);
    assert_eq!(net::address(&scenario, "a"), to_a);
}

struct Thaw<'a>(&'a Target, &'a suigen_e2e::lab::Lab);

impl Drop for Thaw<'_> {
    fn drop(&mut self) {
        self.0.thaw(self.1).expect("let the API server go on");
    }
}

struct Heal<'a>(&'a suigen_e2e::lab::Lab, NodeIndex);

impl Drop for Heal<'_> {
    fn drop(&mut self) {
        fault::heal(self.0, self.1).expect("heal the node");
    }
}

#[test]
fn fault_a_host_that_says_nothing_keeps_a_vni_taken_and_is_named() {
    let scenario = Scenario::alone("net-silent");
    let [(a, _), (b, _)] = a_pair(&scenario);
    let segment = format!("networksegment/vni-{}", net::vni(&scenario, "web"));
    scenario.delete(&b.object());
    let lab = scenario.cluster.lab().expect("a lab");
    let node = lab.node("node-b").expect("the node");
    fault::cut(lab, node, Peer::Api).expect("cut the node off");
    let heal = Heal(lab, node);
    scenario.delete(&a.object());
    scenario.delete("tenantnetwork/web");
    let torn_down = "{.status.tornDown[*].nodeName}";
    scenario.wait_field(&segment, torn_down, |nodes| nodes == "node-a");
    scenario.wait_field(&segment, "{.status.message}", |said| {
        said.contains("node-b") && said.contains("not heard of")
    });
    assert_eq!(scenario.field(&segment, torn_down), "node-a");
    drop(heal);
    scenario.wait_field(&segment, torn_down, |nodes| nodes.contains("node-b"));
}
