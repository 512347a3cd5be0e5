//! The guest `tiny` keeps its contract on the bundle's QEMU, which runs in the
//! bundle as its root, without rights and with all of its sandbox.

mod machine;

use std::time::Duration;

use machine::{Firmware, Machine};

#[test]
fn qemu_tiny_boots_with_bios_into_a_silent_shell() {
    let mut machine = Machine::start(Firmware::Bios);
    let boot = machine.wait_until_up();
    assert_eq!(machine.overhear(Duration::from_secs(2)), "");
    assert_eq!(machine.shell("cat /proc/sys/kernel/random/boot_id"), boot);
}

#[test]
fn qemu_tiny_boots_with_uefi_and_obeys_the_power_button() {
    let mut machine = Machine::start(Firmware::Uefi);
    machine.wait_until_up();
    assert_eq!(machine.shell("[ -d /sys/firmware/efi ] && echo uefi"), "uefi");
    machine.command("system_powerdown");
    let shutdown = machine.event("SHUTDOWN");
    assert_eq!(shutdown["reason"], "guest-shutdown");
}

#[test]
fn qemu_tiny_restarts_after_a_panic_and_its_records_are_whole() {
    let mut machine = Machine::start(Firmware::Bios);
    let first = machine.wait_until_up();
    machine.shell("oracle start; sleep 2");
    let flushed = machine.shell("oracle status");
    let flushed: u32 = flushed.strip_prefix("oracle: flushed ").unwrap().parse().unwrap();
    machine.type_line("echo c >/proc/sysrq-trigger");
    assert_ne!(machine.wait_until_up(), first);
    let verdict = machine.shell("oracle check");
    let last: u32 = verdict
        .strip_prefix("oracle: one writer, records 1 to ")
        .and_then(|rest| rest.strip_suffix(", boots 1"))
        .unwrap_or_else(|| panic!("{verdict}"))
        .parse()
        .unwrap();
    assert!(last >= flushed, "{flushed} records were acknowledged, {last} are left");
}

#[test]
fn qemu_tiny_oracle_finds_lost_records_and_a_second_writer() {
    let mut machine = Machine::start(Firmware::Bios);
    machine.wait_until_up();
    machine.shell("oracle start; sleep 2; oracle stop");
    machine.shell("dd if=/dev/zero of=/dev/vda2 bs=4096 seek=3 count=1 conv=notrunc,fsync");
    assert_eq!(machine.shell("oracle check"), "oracle: BROKEN: record 4 follows 2");

    machine.shell("dd if=/dev/zero of=/dev/vda2 bs=1M count=12 conv=fsync; oracle start; sleep 1");
    // What a second machine would have written over the writer's last record.
    machine.shell(
        "last=$(cat /run/oracle/flushed); for next in 0 1 2; do \
        echo $((last + next)) other-boot-id-of-another 1 | \
        dd of=/dev/vda2 bs=4096 seek=$((last + next)) conv=notrunc,sync,fsync; done; sleep 1",
    );
    let verdict = machine.shell("oracle status");
    assert!(verdict.starts_with("oracle: BROKEN: wrote '"), "{verdict}");
    let verdict = machine.shell("oracle check");
    assert!(verdict.starts_with("oracle: BROKEN: boot "), "{verdict}");
}
