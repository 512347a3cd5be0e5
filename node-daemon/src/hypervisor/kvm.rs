//! Does the kernel's KVM run a guest here? Asked by running one.
//!
//! A `/dev/kvm` that opens proves nothing: inside some virtual machines it runs
//! a BIOS and then fails a kernel. So it must offer the CPU that every server
//! gets, run instructions in real mode, and run them in 64-bit mode with paging
//! and an exception, within a time, and give the right results.

use std::io;
use std::path::Path;

use kvm_ioctls::Kvm;
use suigen_crds::hypervisor::{KvmFacts, SelfTest};

mod baseline;
mod machine;
mod programs;

use programs::Program;

/// Where the kernel offers KVM.
const DEVICE: &str = "/dev/kvm";
/// The only version of KVM's API there is (`Documentation/virt/kvm/api.rst`).
const API_VERSION: i32 = 12;
/// The longest message that the API admits.
const LONGEST_MESSAGE: usize = 512;

/// A step of the self-test that did not go as it should.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("open {DEVICE}: {0}")]
    Open(kvm_ioctls::Error),
    #[error("it has API version {0}, not {API_VERSION}")]
    Version(i32),
    #[error("{action}: {source}")]
    Ioctl { action: &'static str, source: kvm_ioctls::Error },
    #[error("it does not offer the CPU that servers get (x86-64-v2): {0} missing")]
    Baseline(String),
    #[error("{program}: {what}")]
    Program { program: &'static str, what: String },
}

/// Runs the self-test; takes some milliseconds, or seconds where it hangs.
/// Leaves nothing behind.
#[must_use]
pub fn self_test() -> KvmFacts {
    if !Path::new(DEVICE).exists() {
        let message = format!(
            "{DEVICE} is missing: the kernel has no KVM, or the CPU's virtualization is off in the firmware"
        );
        return facts(SelfTest::Missing, &message, None);
    }
    let kvm = match Kvm::new() {
        Ok(kvm) => kvm,
        Err(error) => return facts(SelfTest::Failed, &Failure::Open(error).to_string(), None),
    };
    match examine(&kvm) {
        Ok(()) => facts(
            SelfTest::Passed,
            "ran real-mode and 64-bit code with the right results",
            Some(&kvm),
        ),
        Err(failure) => {
            facts(SelfTest::Failed, &format!("KVM is there, but {failure}"), Some(&kvm))
        }
    }
}

fn examine(kvm: &Kvm) -> Result<(), Failure> {
    let version = kvm.get_api_version();
    if version != API_VERSION {
        return Err(Failure::Version(version));
    }
    baseline::check(kvm)?;
    for program in [Program::RealMode, Program::LongMode] {
        machine::run(kvm, program)?;
    }
    Ok(())
}

fn facts(self_test: SelfTest, message: &str, kvm: Option<&Kvm>) -> KvmFacts {
    KvmFacts {
        self_test,
        message: message.chars().take(LONGEST_MESSAGE).collect(),
        api_version: kvm.map(Kvm::get_api_version),
        maximum_vcpus: kvm.and_then(|kvm| i32::try_from(kvm.get_max_vcpus()).ok()),
    }
}

/// Adds to an error of the kernel what was tried.
fn ioctl(action: &'static str) -> impl Fn(kvm_ioctls::Error) -> Failure {
    move |source| Failure::Ioctl { action, source }
}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        let source = kvm_ioctls::Error::new(source.raw_os_error().unwrap_or_default());
        Self::Ioctl { action: "start a thread", source }
    }
}
