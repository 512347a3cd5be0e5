//! What is left of a network, and for how long.

use std::time::{Duration, Instant};

use suigen_crds::network_segment::QUARANTINE_SECONDS;
use suigen_e2e::progress::wait_for;
use suigen_e2e::scenario;
use suigen_e2e::scenario::manifest::{Network, Server};

use crate::guest::Guest;
use crate::harness::{SOON, Scenario};
use crate::net::{self, IN_WEB};

/// How long a node keeps what it has of a network after the last port left.
const KEPT: Duration = Duration::from_secs(120);

fn server(scenario: &Scenario, name: &str, spec: &str) -> String {
    Server { spec: &[spec], ..scenario.tiny(name) }.yaml()
}

/// Two waits at once, since each takes minutes: a node lets go of a network
/// that lives on elsewhere, and the VNI of another network is freed.
#[test]
fn e2e_what_is_left_of_a_network_goes_in_its_time() {
    let scenario = Scenario::shared("aftermath");
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    let short = Network { name: "short", ..Network::web(&scenario.namespace) };
    scenario.apply(&short.yaml());
    let in_both = "networkInterfaces: [{name: eth0, tenantNetworkName: web}, {name: eth1, tenantNetworkName: short}]";
    scenario.apply_on("node-a", &server(&scenario, "stays", IN_WEB), &["stays"]);
    scenario.apply_on("node-b", &server(&scenario, "goes", in_both), &["goes"]);
    let (stays, goes) = (Guest::up(&scenario, "stays"), Guest::up(&scenario, "goes"));
    let (web, short) = (net::vni(&scenario, "web"), net::vni(&scenario, "short"));
    let has = |vni: &str| {
        net::in_tenants(&scenario, "node-b", "ip -o link").contains(&format!("sg-{vni}:"))
    };
    assert!(has(&web) && has(&short));
    assert!(!net::in_tenants(&scenario, "node-a", "ip -o link").contains(&format!("sg-{short}:")));

    scenario.delete(&goes.object());
    let left = Instant::now();
    scenario.delete("tenantnetwork/short");
    let segment = format!("networksegment/vni-{short}");
    assert_eq!(scenario.field(&segment, "{.status.phase}"), "Releasing");
    // A network that is gone is torn down at once, one that may be needed again is not.
    scenario.wait_field(&segment, "{.status.tornDown[*].nodeName}", |nodes| nodes == "node-b");
    assert!(!has(&short));
    assert!(has(&web), "the network should be kept for {} s", KEPT.as_secs());
    assert_eq!(goes.leftovers(&[]), Vec::<String>::new());

    wait_for("node-b to let go of the network", KEPT + SOON, || Ok((!has(&web)).then_some(())))
        .unwrap_or_else(|error| panic!("{error:#}"));
    let kept = left.elapsed();
    assert!(kept >= KEPT - Duration::from_secs(15), "kept for {} s only", kept.as_secs());
    assert!(!stays.leftovers(&[]).is_empty(), "what is used stays");

    scenario.let_others_run();
    let quarantine = Duration::from_secs(QUARANTINE_SECONDS.unsigned_abs());
    scenario::wait(scenario.cluster, ("", &segment), "delete", quarantine + SOON)
        .unwrap_or_else(|error| panic!("{error:#}"));
    // Times in the API are whole seconds.
    let taken = left.elapsed() + Duration::from_secs(1);
    assert!(taken >= quarantine, "the VNI was free after {} s", taken.as_secs());
}
