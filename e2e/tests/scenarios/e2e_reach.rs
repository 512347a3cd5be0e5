//! A guest reaches its network, and nothing of the cluster that runs it.

use std::net::Ipv4Addr;

use suigen_e2e::scenario;
use suigen_e2e::scenario::manifest::{Network, Server};

use crate::capture::Capture;
use crate::guest::Guest;
use crate::harness::Scenario;
use crate::net::{self, IN_WEB};

/// The address of a pod of the operator, which answers on 8443.
fn a_pod(scenario: &Scenario) -> String {
    let operator = "--selector=app.kubernetes.io/component=operator";
    let address = "--output=jsonpath={.items[0].status.podIP}";
    let system = "--namespace=suigen-system";
    scenario.cluster.kubectl(&[system, "get", "pods", operator, address]).expect("find a pod")
}

/// Whether a TCP connection comes about, from a node.
fn node_reaches(scenario: &Scenario, address: &str, port: u16) -> bool {
    let connect = format!("timeout 3 bash -c '</dev/tcp/{address}/{port}' && echo yes; true");
    net::on_node(scenario, "node-a", &connect).contains("yes")
}

#[test]
fn e2e_a_guest_reaches_no_service_pod_node_or_underlay() {
    let scenario = Scenario::shared("reach");
    let yaml = Server { spec: &[IN_WEB], ..scenario.tiny("curious") }.yaml();
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    scenario.apply_on("node-a", &yaml, &["curious"]);
    let guest = Guest::up(&scenario, "curious");
    let own = net::address(&scenario, "curious");
    let mut shell = guest.session();
    net::has_address(&mut shell, &own);

    // What practically every cluster has: bridged frames meet the node's IP
    // rules, and kube-proxy's are among them.
    let node = |command: &str| net::on_node(&scenario, "node-a", command);
    node("sysctl -w net.bridge.bridge-nf-call-iptables=1 net.ipv4.ip_forward=1");
    assert!(node("nft list tables").contains("kube-proxy"), "kube-proxy should run");
    let pod = a_pod(&scenario);
    let targets = [
        ("10.96.0.1", 443, "a Service"),
        (pod.as_str(), 8443, "a pod"),
        ("10.77.0.11", 10250, "its own node"),
        ("10.77.0.12", 10250, "another node"),
        ("10.77.0.1", 6443, "the API server"),
    ];
    for (address, port, what) in targets {
        assert!(node_reaches(&scenario, address, port), "a node should reach {what}");
    }

    let capture = Capture::begin(&net::namespaces(&scenario, "node-a")[0]);
    // By way of the gateway, which answers at the tap; of the bridge; of the services there.
    for mac in ["", "0e:53:55:49:00:00", "0e:53:55:49:00:01"] {
        for (address, port, what) in targets {
            if !mac.is_empty() {
                let said = shell.run(&format!(
                    "ip route replace {address} dev eth0; arp -i eth0 -s {address} {mac} && echo set"
                ));
                assert_eq!(said, "set", "the guest should send to {mac}");
            }
            let said = shell.run(&format!(
                "ping -c 1 -W 1 {address} >/dev/null && echo answers; \
                 timeout 2 nc -w 2 {address} {port} </dev/null >/dev/null 2>&1 && echo answers"
            ));
            assert_eq!(said, "", "{what} ({address}) by way of {mac:?}");
        }
    }
    // What the guest tried was really on its wire, and not in the node's stack.
    let source: Ipv4Addr = own.parse().expect("an address");
    let stray = capture.take().into_iter().find(|seen| {
        seen.frame.get(12..14) == Some(&[0x08, 0x00])
            && seen.frame.get(26..30) == Some(&source.octets())
    });
    assert!(stray.is_none(), "a packet of the guest in the node's own network");
    let sent = shell.run("cat /sys/class/net/eth0/statistics/tx_packets");
    assert!(sent.parse::<u32>().is_ok_and(|sent| sent > 30), "the guest sent {sent} packets");
    scenario::wait(scenario.cluster, ("", "node/node-a"), "condition=Ready", crate::harness::SOON)
        .unwrap_or_else(|error| panic!("{error:#}"));
}
