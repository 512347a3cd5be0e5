use std::time::Duration;

use super::*;
use crate::bench::adoption::Adoption;
use crate::bench::audit::Kind;
use crate::bench::scale::Steady;
use crate::bench::timeline::{ALL, Timeline};

fn write(writer: &str, resource: &str, object: &str) -> Write {
    let [writer, resource, object] = [writer, resource, object].map(str::to_owned);
    let kind = Kind { writer, verb: "patch".into(), resource, manager: String::new(), code: 200 };
    Write { kind, object }
}

fn report(up: Vec<Write>, idle: Vec<Write>) -> Report {
    let mut timeline = Timeline::new("s-1");
    for (second, step) in (0_u32..).zip(ALL) {
        timeline.note(step, f64::from(second));
    }
    let guest =
        GuestMemory { ram: 100 << 20, translated: 60 << 20, files: 20 << 20, other: 5 << 20 };
    let system = |mib: u64| SystemMemory(vec![("operator that leads".into(), mib << 20)]);
    let adoption = Adoption { guests: 2, restart: 0.5, adopt: 0.1 };
    let scale = Scale {
        count: 2,
        by_hand: vec![2.0],
        timelines: vec![timeline.clone(), timeline],
        up,
        guests: vec![guest],
        system: system(21),
        steady: Some(Steady { idle, adoption, adopted: vec![] }),
        gone: 1.5,
        down: vec![],
    };
    Report {
        machine: vec![("commit", "abc".into())],
        spans: vec![("start the lab".into(), 7.0), ("install".into(), 3.0)],
        builds: vec![],
        bare: vec![],
        idle_time: Duration::from_secs(30),
        empty: system(20),
        after: system(21),
        scales: vec![scale],
        networks: Some(serde_json::json!({"ratio": 0.9})),
    }
}

/// The cells of the row that begins with a text.
fn row<'a>(page: &'a str, begin: &str) -> Vec<&'a str> {
    let line = page.lines().find(|line| line.starts_with(&format!("| {begin}")));
    line.unwrap_or_default().trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn each_figure_is_judged_by_its_goal() {
    let up = (0..26).map(|_| write("suigen-operator", "disks/status", "bench/s-1-root")).collect();
    let idle = vec![
        write("suigen-operator", "leases", "suigen-system/suigen-operator"),
        write("suigen-node-daemon", "hypervisors/status", "/node-a"),
    ];
    let page = report(up, idle).page();
    // 13 a server on average, all 26 to the same one.
    assert_eq!(row(&page, "API writes")[1..], ["2", "26.0", "≤ 12", "missed"]);
    assert_eq!(row(&page, "host memory")[1..], ["2", "85.0 MiB", "≤ 80 MiB", "missed"]);
    assert_eq!(row(&page, "the same but")[1..], ["2", "25.0 MiB", "≤ 80 MiB", "met"]);
    assert_eq!(row(&page, "operator memory")[1..], ["2", "512.0 KiB", "≤ 30 KiB", "missed"]);
    assert_eq!(row(&page, "idle writes")[1..], ["2", "2.0", "≤ 0", "missed"]);
}

#[test]
fn heartbeats_alone_are_an_idle_system() {
    let idle = vec![write("suigen-node-daemon", "leases", "suigen-system/hypervisor-node-a")];
    let page = report(vec![write("suigen-operator", "events", "bench/x")], idle).page();
    assert_eq!(row(&page, "idle writes")[2..], ["0.0", "≤ 0", "met"]);
    assert_eq!(row(&page, "API writes")[2..], ["0.0", "≤ 12", "met"]);
}

#[test]
fn times_are_shown_beside_the_same_guest_by_hand() {
    let page = report(vec![], vec![]).page();
    // QEMU starts in second 3, the guest is up in second 6; by hand it took 2 s.
    assert_eq!(row(&page, "QEMU started → guest up")[1], "3.00 (3.00 to 3.00)");
    assert_eq!(row(&page, "ratio to by hand, QEMU")[1], "1.50 ×");
    assert_eq!(row(&page, "ratio to by hand, created")[1], "3.00 ×");
    assert_eq!(row(&page, "in all")[1], "10.0");
}
