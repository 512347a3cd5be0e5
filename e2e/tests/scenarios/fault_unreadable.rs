//! Objects in the store that this release does not understand.

use suigen_e2e::scenario;

use crate::guest::Guest;
use crate::harness::{SOON, Scenario};

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";

/// Loosens a CRD for the time of a scenario, as a newer release would have.
struct Loosened<'a> {
    scenario: &'a Scenario,
    undo: String,
}

impl<'a> Loosened<'a> {
    fn new(scenario: &'a Scenario, patch: &str, undo: String) -> Self {
        let loosened = Self { scenario, undo };
        loosened.patch(patch);
        loosened
    }

    fn patch(&self, patch: &str) {
        let kind = "crd/virtualservers.suigen.dev";
        self.scenario
            .cluster
            .kubectl(&["patch", kind, "--type=json", "--patch", patch])
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
}

impl Drop for Loosened<'_> {
    fn drop(&mut self) {
        self.patch(&self.undo);
    }
}

/// Applies a manifest until the API server has taken notice of a changed CRD.
fn apply_once_admitted(scenario: &Scenario, manifest: &str) {
    suigen_e2e::progress::wait_for("the changed CRD to be in force", SOON, || {
        Ok(scenario::apply(scenario.cluster, manifest).ok())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn fault_a_power_state_of_a_newer_release_is_named_and_nothing_is_done() {
    let scenario = Scenario::alone("newer");
    let values = format!("{SPEC}/powerState/enum");
    let loosened = Loosened::new(
        &scenario,
        &format!(r#"[{{"op":"add","path":"{values}/-","value":"Hibernated"}}]"#),
        format!(r#"[{{"op":"remove","path":"{values}/2"}}]"#),
    );
    let mut server = scenario.tiny("asleep");
    server.spec = &["powerState: Hibernated"];
    apply_once_admitted(&scenario, &server.yaml());
    scenario.says("virtualserver/asleep", "Ready", &["powerState", "does not know"]);
    assert_eq!(scenario.field("virtualserver/asleep", "{.status.placement}"), "");
    // Others go on meanwhile, and it does once it can be understood.
    scenario.apply(&scenario.tiny("awake").yaml());
    Guest::up(&scenario, "awake");
    server.spec = &["powerState: PoweredOn"];
    scenario.apply(&server.yaml());
    Guest::up(&scenario, "asleep");
    drop(loosened);
}

#[test]
fn fault_a_malformed_object_is_reported_and_stops_nobody_else() {
    let scenario = Scenario::alone("malformed");
    let size = format!("{SPEC}/disks/items/properties/template/properties/size");
    let pattern = "^([1-9][0-9]{0,17}|[1-9][0-9]{0,5}(Ki|Mi|Gi|Ti))$";
    let loosened = Loosened::new(
        &scenario,
        &format!(r#"[{{"op":"remove","path":"{size}/pattern"}}]"#),
        format!(r#"[{{"op":"add","path":"{size}/pattern","value":"{pattern}"}}]"#),
    );
    let mut server = scenario.tiny("garbled");
    server.size = "plenty";
    apply_once_admitted(&scenario, &server.yaml());
    scenario.says("virtualserver/garbled", "Ready", &["plenty"]);
    scenario.apply(&scenario.tiny("plain").yaml());
    Guest::up(&scenario, "plain");
    drop(loosened);
    scenario.delete("virtualserver/garbled");
}
