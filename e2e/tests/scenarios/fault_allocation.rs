//! Operators that die, and two at once: what is given out is given once.

use std::collections::BTreeSet;

use suigen_e2e::demo::trouble;
use suigen_e2e::progress::wait_for;
use suigen_e2e::scenario;
use suigen_e2e::scenario::manifest::{Network, Server};

use crate::harness::{SOON, Scenario, UP};
use crate::net;

/// Networks with servers in them, all of their own name: `(network, server)`.
fn many(scenario: &Scenario) -> (String, Vec<String>) {
    let mut manifests = String::new();
    let mut servers = Vec::new();
    for number in 0..3 {
        let name = format!("net-{number}");
        manifests += &Network { name: &name, ..Network::web(&scenario.namespace) }.yaml();
        for letter in ["a", "b"] {
            let server = format!("{letter}{number}");
            let line = format!("networkInterfaces: [{{name: eth0, tenantNetworkName: {name}}}]");
            manifests += &Server { spec: &[&line], ..scenario.tiny(&server) }.yaml();
            servers.push(server);
        }
    }
    (manifests, servers)
}

/// Every server has one port and one claim, and nothing was given twice.
fn nothing_was_given_twice(scenario: &Scenario, servers: usize) {
    let lines = |kind: &str, path: &str| -> Vec<String> {
        let all = format!(r#"{{range .items[*]}}{path}{{"\n"}}{{end}}"#);
        scenario.field(kind, &all).lines().map(str::to_owned).collect()
    };
    let unique = |what: &str, lines: Vec<String>, count: usize| {
        let distinct: BTreeSet<&String> = lines.iter().collect();
        assert_eq!((lines.len(), distinct.len()), (count, count), "{what}: {lines:?}");
    };
    unique("VNIs", lines("tenantnetwork", "{.status.vni}"), 3);
    let mac = "{.spec.vni} {.spec.macAddress}";
    unique("MAC addresses", lines("networkport", mac), servers);
    let address = "{.spec.vni} {.spec.addresses[0]}";
    unique("addresses", lines("networkport", address), servers);
    unique("claims", lines("addressclaim", "{.spec.portName}"), servers);
    let ours =
        format!(r#"{{range .items[?(@.spec.network.namespace=="{}")]}}"#, scenario.namespace);
    let segments = format!("{ours}{{.status.phase}} {{.spec.network.uid}}{{\"\\n\"}}{{end}}");
    let segments = scenario.field("networksegment", &segments);
    let in_use = segments.lines().filter(|line| line.starts_with("InUse"));
    unique("segments", in_use.map(str::to_owned).collect(), 3);
}

fn all_ready(scenario: &Scenario, servers: &[String]) {
    for server in servers {
        scenario.wait(&format!("virtualserver/{server}"), "Ready", UP);
    }
}

fn everything_goes(scenario: &Scenario) {
    for kind in ["virtualservers", "tenantnetworks", "networkports", "addressclaims"] {
        wait_for(&format!("the end of all {kind}"), UP, || {
            let left = scenario.kubectl(&["get", kind, "--output=name"]);
            Ok(left.is_empty().then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[test]
fn fault_operators_that_die_between_writes_give_nothing_twice() {
    let scenario = Scenario::alone("net-leader");
    let (manifests, servers) = many(&scenario);
    scenario.apply(&manifests);
    for _ in 0..3 {
        trouble::kill_operator(scenario.cluster).expect("kill the operator");
    }
    all_ready(&scenario, &servers);
    nothing_was_given_twice(&scenario, servers.len());
    scenario.kubectl(&["delete", "virtualservers,tenantnetworks", "--all", "--wait=false"]);
    for _ in 0..3 {
        trouble::kill_operator(scenario.cluster).expect("kill the operator");
    }
    everything_goes(&scenario);
}

fn holder(scenario: &Scenario) -> String {
    let lease = ("suigen-system", "lease/suigen-operator");
    scenario::field(scenario.cluster, lease, "{.spec.holderIdentity}").expect("read the Lease")
}

/// The operator pod that leads: its name, its node and its process there.
fn leader(scenario: &Scenario) -> [String; 3] {
    let system = "--namespace=suigen-system";
    let node = wait_for("an operator to lead", SOON, || {
        let pod = format!("pod/{}", holder(scenario));
        let node = "--output=jsonpath={.spec.nodeName}";
        // The leader of an earlier scenario may be gone before its Lease is.
        let found = scenario.cluster.kubectl(&[system, "get", &pod, "--ignore-not-found", node])?;
        Ok((!found.is_empty()).then_some(found))
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    let pod = holder(scenario);
    let find = format!(
        "for p in $(pgrep -x operator); do grep -qa HOSTNAME={pod} /proc/$p/environ && echo $p; done"
    );
    let process = net::on_node(scenario, &node, &find).trim().to_owned();
    assert!(process.parse::<u32>().is_ok(), "the process of {pod} on {node}: {process:?}");
    [pod, node, process]
}

#[test]
fn fault_two_operators_that_both_believe_to_lead_give_nothing_twice() {
    let scenario = Scenario::alone("net-two");
    let (manifests, servers) = many(&scenario);
    let [first, node, process] = leader(&scenario);
    scenario.apply(&manifests);
    // In the middle of its work, with all it has seen and is about to write in its memory.
    net::on_node(&scenario, &node, &format!("kill -STOP {process}"));
    let next = wait_for("another operator to lead", SOON, || {
        let now = holder(&scenario);
        Ok((!now.is_empty() && now != first).then_some(()))
    });
    net::on_node(&scenario, &node, &format!("kill -CONT {process} || true"));
    next.unwrap_or_else(|error| panic!("{error:#}"));
    all_ready(&scenario, &servers);
    nothing_was_given_twice(&scenario, servers.len());
    scenario.kubectl(&["delete", "virtualservers,tenantnetworks", "--all", "--wait=false"]);
    everything_goes(&scenario);
}

/// Gives the operator a range of VNIs, as the chart's user would.
fn set_range(scenario: &Scenario, first: &str, last: &str) {
    let chart = suigen_e2e::source_root().join("charts/suigen").display().to_string();
    let (first, last) =
        (format!("network.vniRange.first={first}"), format!("network.vniRange.last={last}"));
    let upgrade = ["upgrade", "suigen", &chart, "--namespace=suigen-system", "--reuse-values"];
    let values = ["--set", &first, "--set", &last, "--wait", "--timeout=3m"];
    scenario
        .cluster
        .helm(&[&upgrade[..], &values[..]].concat())
        .unwrap_or_else(|error| panic!("{error:#}"));
}

struct WholeRange<'a>(&'a Scenario);

impl Drop for WholeRange<'_> {
    fn drop(&mut self) {
        set_range(self.0, "4096", "16777215");
    }
}

#[test]
fn fault_a_range_of_vnis_that_is_used_up_is_named_and_heals_when_widened() {
    let scenario = Scenario::alone("net-range");
    let whole = WholeRange(&scenario);
    set_range(&scenario, "4000", "4000");
    let web = Network::web(&scenario.namespace);
    scenario.apply(&Network { name: "one", ..web.clone() }.yaml());
    scenario.wait("tenantnetwork/one", "Ready", SOON);
    assert_eq!(net::vni(&scenario, "one"), "4000");
    scenario.apply(&Network { name: "two", ..web }.yaml());
    scenario.says("tenantnetwork/two", "Stalled", &["VniRangeExhausted", "4000"]);
    drop(whole);
    scenario.wait("tenantnetwork/two", "Ready", SOON);
    assert_ne!(net::vni(&scenario, "two"), "4000");
}
