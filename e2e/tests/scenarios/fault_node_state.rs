//! What a node knows is wrong, missing or cannot be written.

use std::path::PathBuf;

use suigen_crds::ident::Epoch;
use suigen_e2e::demo::trouble;
use suigen_e2e::lab::node::Node;
use suigen_e2e::scenario;
use suigen_node_daemon::right::log::Log;
use suigen_node_daemon::right::record::Word;

use crate::guest::Guest;
use crate::harness::{SOON, Scenario};

/// Takes the daemon off the node for the time of `work`: nothing may write to
/// its state meanwhile.
fn without_daemon(scenario: &Scenario, node: &str, work: impl FnOnce()) {
    let label = "suigen.dev/role-hypervisor";
    let node_object = format!("node/{node}");
    scenario.cluster.kubectl(&["label", &node_object, &format!("{label}-")]).expect("unlabel");
    suigen_e2e::progress::wait_for("the daemon to go", SOON, || {
        Ok(trouble::daemon_pod(scenario.cluster, node).is_err().then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    work();
    scenario.cluster.kubectl(&["label", &node_object, &format!("{label}=")]).expect("label");
    scenario
        .cluster
        .kubectl(&[
            "--namespace=suigen-system",
            "rollout",
            "status",
            "daemonset/suigen-node-daemon",
            "--timeout=120s",
        ])
        .expect("the daemon comes back");
}

#[test]
fn fault_a_wiped_state_directory_is_noticed_and_heals_when_it_is_back() {
    let scenario = Scenario::alone("wiped");
    scenario.apply(&scenario.tiny("lost").yaml());
    let guest = Guest::up(&scenario, "lost");
    let boot = guest.boot_id();
    let state = "/var/lib/suigen";
    let hide = format!(
        "mkdir -p {state}/.aside && for f in log-id right servers volumes; do mv {state}/$f {state}/.aside/; done"
    );
    without_daemon(&scenario, &guest.node, || drop(guest.on_node(&hide)));
    // The guest runs on as an orphan: nobody may say what it is, nobody may end it.
    let hypervisor = format!("hypervisor/{}", guest.node);
    scenario::wait_field(
        scenario.cluster,
        ("", &hypervisor),
        "{.status.orphans[*].serverUid}",
        SOON,
        |uids| uids.contains(&guest.uid),
    )
    .unwrap_or_else(|error| panic!("{error:#}"));
    assert!(guest.process().is_some(), "an orphan is left alone");
    let back = format!(
        "for f in log-id right servers volumes; do rm -rf {state}/$f; mv {state}/.aside/$f {state}/; done; rmdir {state}/.aside"
    );
    without_daemon(&scenario, &guest.node, || drop(guest.on_node(&back)));
    scenario.wait(&guest.object(), "Ready", SOON);
    assert_eq!(guest.boot_id(), boot, "the guest should have run all the time");
}

#[test]
fn fault_a_stale_epoch_is_refused_and_placed_anew_under_a_higher_one() {
    let scenario = Scenario::alone("stale");
    let mut server = scenario.tiny("old");
    scenario.apply(&server.yaml());
    let guest = Guest::up(&scenario, "old");
    server.spec = &["powerState: PoweredOff"];
    scenario.apply(&server.yaml());
    scenario.says(&guest.object(), "Running", &["Stopped"]);
    // The log of a daemon that has seen more than the API server remembers.
    without_daemon(&scenario, &guest.node, || {
        let file = state_dir(&scenario, &guest.node).join("right").join(&guest.uid);
        let mut log = Log::open(&file).expect("read the server's log");
        let word = Word::Held {
            epoch: Epoch(7),
            namespace: scenario.namespace.clone(),
            name: "old".to_owned(),
            memory_bytes: 256 << 20,
        };
        log.append(&word).expect("write the server's log");
    });
    server.spec = &["powerState: PoweredOn"];
    scenario.apply(&server.yaml());
    let again = Guest::up(&scenario, "old");
    let epoch: i64 = scenario
        .field(&again.object(), "{.status.placement.epoch}")
        .parse()
        .expect("the epoch is a number");
    assert!(epoch > 7, "epoch {epoch} is not above the log's 7");
}

/// The node's `/var/lib/suigen`, as this machine sees it.
fn state_dir(scenario: &Scenario, node: &str) -> PathBuf {
    let lab = scenario.cluster.lab().expect("a lab");
    let node = Node::new(lab, lab.node(node).expect("the node"));
    node.dir().join("suigen")
}

#[test]
fn fault_a_placement_made_out_to_another_log_is_refused_and_made_anew() {
    let scenario = Scenario::alone("relogged");
    let mut server = scenario.tiny("kept");
    scenario.apply(&server.yaml());
    let guest = Guest::up(&scenario, "kept");
    guest.shell("oracle start >/dev/null 2>&1; sync");
    server.spec = &["powerState: PoweredOff"];
    scenario.apply(&server.yaml());
    scenario.says(&guest.object(), "Running", &["Stopped"]);
    // The log is lost, the volumes are not.
    without_daemon(&scenario, &guest.node, || {
        guest.on_node("rm -rf /var/lib/suigen/log-id /var/lib/suigen/right");
    });
    server.spec = &["powerState: PoweredOn"];
    scenario.apply(&server.yaml());
    let again = Guest::up(&scenario, "kept");
    assert_eq!(again.node, guest.node, "its disk is there");
    let epoch = scenario.field(&again.object(), "{.status.placement.epoch}");
    assert_ne!(epoch, "1", "a new log means a new right");
    let checked = again.shell("oracle check");
    assert!(!checked.is_empty() && !checked.contains("BROKEN"), "the oracle says {checked:?}");
}

#[test]
fn fault_a_full_disk_is_named_and_heals_with_space() {
    let scenario = Scenario::alone("full");
    let nodes = ["node-a", "node-b", "node-c"];
    let on_each = |command: &str| {
        for node in nodes {
            scenario::on_node(scenario.cluster, node, &["sh", "-c", command])
                .unwrap_or_else(|error| panic!("{node}: {error:#}"));
        }
    };
    // A file system of 4 MiB where the daemon puts images: none of 14 MiB fits.
    let full = Full { on_each: &on_each };
    on_each(&format!("{IN_THE_DAEMONS_MOUNTS} mount -t tmpfs -o size=4m full {IMAGES}"));
    scenario.apply(&scenario.tiny("squeezed").yaml());
    scenario.says("disk/squeezed-root", "Ready", &["NodeDiskFull"]);
    scenario.says("virtualserver/squeezed", "Ready", &["NodeDiskFull"]);
    drop(full);
    Guest::up(&scenario, "squeezed");
}

const IMAGES: &str = "/var/lib/suigen/images";
const IN_THE_DAEMONS_MOUNTS: &str = "nsenter --target $(pgrep -o -x node-daemon) --mount";

struct Full<'a> {
    on_each: &'a dyn Fn(&str),
}

impl Drop for Full<'_> {
    fn drop(&mut self) {
        (self.on_each)(&format!("{IN_THE_DAEMONS_MOUNTS} umount {IMAGES}"));
    }
}
