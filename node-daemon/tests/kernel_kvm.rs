//! The KVM self-test on the kernel that there is.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use suigen_crds::hypervisor::SelfTest;
use suigen_node_daemon::hypervisor::kvm::self_test;

#[test]
fn kernel_the_self_test_comes_to_a_verdict_in_time_and_leaves_nothing() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let start = Instant::now();
    let facts = self_test();
    println!("{facts:?} after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(threads(), before, "a thread was left");
    match facts.self_test {
        SelfTest::Missing => assert!(!Path::new("/dev/kvm").exists()),
        SelfTest::Passed | SelfTest::Failed => assert_eq!(facts.api_version, Some(12)),
        SelfTest::Unknown => panic!("{facts:?}"),
    }
    assert!(!facts.message.is_empty());
}
