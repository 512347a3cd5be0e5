//! A server's ordinary life.

use crate::guest::Guest;
use crate::harness::{SOON, Scenario, UP};

#[test]
fn e2e_a_server_boots_from_a_manifest_and_leaves_nothing() {
    let scenario = Scenario::shared("first");
    scenario.apply(&scenario.tiny("one").yaml());
    let guest = Guest::up(&scenario, "one");
    let disk = scenario.field("disk/one-root", "{.metadata.uid}");
    assert_eq!(scenario.field("disk/one-root", "{.status.phase}"), "InUse");
    assert!(guest.shell("uname -s").contains("Linux"));
    assert!(guest.process().is_some());
    scenario.delete(&guest.object());
    assert_eq!(scenario.field("disk/one-root", "{.metadata.name}"), "", "its disk should be gone");
    assert_eq!(guest.leftovers(&[disk]), Vec::<String>::new());
}

#[test]
fn e2e_a_server_boots_with_uefi() {
    let scenario = Scenario::shared("uefi");
    let mut server = scenario.tiny("efi");
    server.image = "tiny-uefi";
    scenario.apply(&server.yaml());
    let guest = Guest::up(&scenario, "efi");
    assert_eq!(guest.shell("test -d /sys/firmware/efi && echo yes"), "yes");
    scenario.delete(&guest.object());
    assert_eq!(guest.leftovers(&[]), Vec::<String>::new());
}

#[test]
fn e2e_what_a_guest_wrote_is_there_after_power_off_and_on() {
    let scenario = Scenario::shared("power");
    scenario.apply(&scenario.tiny("disk").yaml());
    let guest = Guest::up(&scenario, "disk");
    guest.shell("oracle start >/dev/null 2>&1; sync");
    let first = guest.boot_id();
    let mut off = scenario.tiny("disk");
    off.spec = &["powerState: PoweredOff"];
    scenario.apply(&off.yaml());
    scenario.says(&guest.object(), "Running", &["Stopped"]);
    scenario.wait(&guest.object(), "Ready", SOON);
    assert_eq!(scenario.field(&guest.object(), "{.status.phase}"), "Stopped");
    assert_eq!(guest.process(), None);
    let mut on = scenario.tiny("disk");
    on.spec = &["powerState: PoweredOn"];
    scenario.apply(&on.yaml());
    let again = Guest::up(&scenario, "disk");
    assert_ne!(again.boot_id(), first);
    assert_eq!(scenario.field(&guest.object(), "{.status.placement.epoch}"), "1");
    let checked = again.shell("oracle check");
    assert!(!checked.is_empty() && !checked.contains("BROKEN"), "the oracle says {checked:?}");
}

#[test]
fn e2e_deletion_protection_refuses_and_an_update_lifts_it() {
    let scenario = Scenario::shared("protected");
    let mut server = scenario.tiny("safe");
    server.spec = &["powerState: PoweredOff", "deletionProtection: Enabled"];
    scenario.apply(&server.yaml());
    let namespace = format!("--namespace={}", scenario.namespace);
    let refused = scenario
        .cluster
        .kubectl(&[&namespace, "delete", "virtualserver/safe"])
        .expect_err("a protected server must not be deleted");
    assert!(format!("{refused:#}").contains("deletionProtection"), "{refused:#}");
    server.spec = &["powerState: PoweredOff"];
    scenario.apply(&server.yaml());
    scenario.delete("virtualserver/safe");
}

#[test]
fn e2e_a_disk_of_policy_retain_outlives_its_server_and_serves_the_next() {
    let scenario = Scenario::shared("retain");
    let mine =
        scenario.tiny("first").yaml().replace("reclaimPolicy: Delete", "reclaimPolicy: Retain");
    scenario.apply(&mine);
    let guest = Guest::up(&scenario, "first");
    guest.shell("oracle start >/dev/null 2>&1; sync");
    scenario.delete(&guest.object());
    scenario.wait("disk/first-root", "Ready", SOON);
    assert_eq!(scenario.field("disk/first-root", "{.status.attachment}"), "");
    let template =
        "template: {imageName: tiny, size: 256Mi, diskClassName: local-be, reclaimPolicy: Delete}";
    scenario.apply(&scenario.tiny("second").yaml().replace(template, "diskName: first-root"));
    let next = Guest::up(&scenario, "second");
    assert_eq!(next.node, guest.node, "a local disk pins its server");
    let checked = next.shell("oracle check");
    assert!(!checked.is_empty() && !checked.contains("BROKEN"), "the oracle says {checked:?}");
}

#[test]
fn e2e_deleting_a_namespace_ends_everything_in_it() {
    let scenario = Scenario::shared("whole");
    scenario.apply(&scenario.tiny("a").yaml());
    let guest = Guest::up(&scenario, "a");
    let disk = scenario.field("disk/a-root", "{.metadata.uid}");
    scenario
        .cluster
        .kubectl(&["delete", "namespace", &scenario.namespace, "--timeout=180s"])
        .expect("the namespace should go without help");
    assert_eq!(guest.leftovers(&[disk]), Vec::<String>::new());
}

#[test]
fn e2e_a_guest_that_powers_itself_off_is_treated_by_its_restart_policy() {
    let scenario = Scenario::shared("policy");
    let mut never = scenario.tiny("never");
    never.spec = &["restartPolicy: Never"];
    scenario.apply(&never.yaml());
    scenario.apply(&scenario.tiny("always").yaml());
    let (stays, returns) = (Guest::up(&scenario, "never"), Guest::up(&scenario, "always"));
    let first = returns.boot_id();
    stays.shell("(poweroff &)");
    returns.shell("(poweroff &)");
    scenario.says(&stays.object(), "Running", &["GuestPoweredOff"]);
    assert_eq!(stays.process(), None);
    suigen_e2e::progress::wait_for("another boot of `always`", UP, || {
        Ok((returns.process().is_some() && returns.boot_id() != first).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
}
