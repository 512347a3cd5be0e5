//! The API server goes away.

use std::time::Duration;

use suigen_e2e::lab::fault::Target;
use suigen_e2e::progress::wait_for;

use crate::guest::Guest;
use crate::harness::{Scenario, UP};

/// Longer than a leader's Lease and a hypervisor's, so that both run out.
const AWAY: Duration = Duration::from_secs(60);

#[test]
fn fault_without_the_api_server_guests_run_on_and_nothing_starts() {
    let scenario = Scenario::alone("no-api");
    scenario.apply(&scenario.tiny("steady").yaml());
    scenario.apply(&scenario.tiny("fallen").yaml());
    let (steady, fallen) = (Guest::up(&scenario, "steady"), Guest::up(&scenario, "fallen"));
    let (boot, pid) = (steady.boot_id(), steady.process());
    let lab = scenario.cluster.lab().expect("a lab");
    let api = Target::parse(lab, "kube-apiserver").expect("find the API server");
    api.freeze(lab).expect("freeze the API server");
    let thaw = Thaw(&api, lab);
    fallen.kill_process();
    let stays_down = wait_for("a second QEMU, which must not come", AWAY, || Ok(fallen.process()));
    assert!(stays_down.is_err(), "a server was started without a quorum read");
    assert_eq!(steady.process(), pid, "a running guest must not be touched");
    let log = fallen.on_node("cat /var/log/pods/suigen-system_suigen-node-daemon-*/*/*.log");
    assert!(log.contains("ApiServerUnreachable"), "the daemon should say what it waits for");
    drop(thaw);
    let again = Guest::up(&scenario, "fallen");
    wait_for("the fallen guest", UP, || Ok(again.process().map(|_| ())))
        .unwrap_or_else(|error| panic!("{error:#}"));
    scenario.wait(&steady.object(), "Ready", UP);
    assert_eq!(steady.boot_id(), boot);
}

struct Thaw<'a>(&'a Target, &'a suigen_e2e::lab::Lab);

impl Drop for Thaw<'_> {
    fn drop(&mut self) {
        self.0.thaw(self.1).expect("let the API server go on");
    }
}
