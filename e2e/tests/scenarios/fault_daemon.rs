//! What a guest must not notice.

use suigen_e2e::artifact::cache::Cache;
use suigen_e2e::artifact::set::SuigenImages;
use suigen_e2e::demo::trouble;
use suigen_e2e::setup;

use crate::guest::Guest;
use crate::harness::{SOON, Scenario, UP};

#[test]
fn fault_nothing_of_ours_that_dies_reaches_the_guest() {
    let scenario = Scenario::alone("trouble");
    scenario.apply(&scenario.tiny("calm").yaml());
    let guest = Guest::up(&scenario, "calm");
    let (boot, pid) = (guest.boot_id(), guest.process());
    let length = || {
        trouble::console_length(scenario.cluster, &guest.node, &guest.uid).expect("read the log")
    };
    let before = length();
    trouble::kill_daemon(scenario.cluster, &guest.node).expect("kill the daemon");
    trouble::delete_daemon_pod(scenario.cluster, &guest.node).expect("delete its pod");
    let next = Cache::open().and_then(|cache| SuigenImages::ensure_next(&cache));
    trouble::roll_daemons(scenario.cluster, &next.expect("build another image")).expect("roll");
    trouble::kill_operator(scenario.cluster).expect("kill the operator");
    assert_eq!(length(), before, "the guest's console shows something of it");
    assert_eq!(guest.process(), pid);
    assert_eq!(guest.boot_id(), boot);
    scenario.wait(&guest.object(), "Ready", SOON);
    // Back to the image that the other scenarios know.
    let own =
        Cache::open().and_then(|cache| SuigenImages::ensure(&cache)).expect("find the images");
    setup::install_suigen(scenario.cluster, &own).expect("install the first image again");
    assert_eq!(guest.process(), pid);
}

#[test]
fn fault_a_killed_qemu_is_started_again_with_a_reason() {
    let scenario = Scenario::shared("killed");
    scenario.apply(&scenario.tiny("lazarus").yaml());
    let guest = Guest::up(&scenario, "lazarus");
    let boot = guest.boot_id();
    guest.kill_process();
    suigen_e2e::progress::wait_for("another boot", UP, || {
        Ok((guest.process().is_some() && guest.boot_id() != boot).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    scenario.wait(&guest.object(), "Ready", UP);
    assert_eq!(scenario.field(&guest.object(), "{.status.placement.epoch}"), "1");
    assert_eq!(scenario.field(&guest.object(), "{.status.runtime.incarnation}"), "2");
    let events = scenario
        .cluster
        .kubectl(&[&format!("--namespace={}", scenario.namespace), "get", "events"])
        .expect("read the events");
    assert!(events.contains("QemuExited"), "an event should tell of it: {events}");
}

#[test]
fn fault_an_operator_that_dies_while_it_works_loses_nothing() {
    let scenario = Scenario::alone("leader");
    for name in ["a", "b", "c"] {
        scenario.apply(&scenario.tiny(name).yaml());
        trouble::kill_operator(scenario.cluster).expect("kill the operator");
    }
    for name in ["a", "b", "c"] {
        let guest = Guest::up(&scenario, name);
        assert_eq!(scenario.field(&guest.object(), "{.status.placement.epoch}"), "1");
    }
    scenario
        .cluster
        .kubectl(&[
            &format!("--namespace={}", scenario.namespace),
            "delete",
            "virtualserver",
            "--all",
            "--wait=false",
        ])
        .expect("delete them");
    trouble::kill_operator(scenario.cluster).expect("kill the operator");
    for name in ["a", "b", "c"] {
        suigen_e2e::scenario::wait(
            scenario.cluster,
            scenario.named(&format!("virtualserver/{name}")),
            "delete",
            UP,
        )
        .unwrap_or_else(|error| panic!("{error:#}"));
    }
}
