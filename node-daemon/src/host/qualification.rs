//! Can this node run servers, and what can it not? Facts are gathered, then
//! judged; only the first part looks at the node.

use suigen_crds::condition::Finding;
use suigen_crds::hypervisor::{
    Acceleration, Bundle, Capacity, CpuFacts, Feature, FeatureState, KvmFacts, SelfTest,
    SoftwareEmulation,
};

use super::paths::Paths;
use super::{bundle, facts, features};
use crate::hypervisor::kvm;

/// The condition's type.
const QUALIFIED: &str = "Qualified";

/// What was found, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// How guests run here.
    pub acceleration: Acceleration,
    /// What the KVM self-test found.
    pub kvm: KvmFacts,
    /// What the CPU is.
    pub cpu: CpuFacts,
    /// What the machine has.
    pub capacity: Capacity,
    /// What the kernel and the host have of what something of Suigen needs.
    pub features: Vec<Feature>,
    /// QEMU bundles, the one for new servers first.
    pub bundles: Vec<Bundle>,
    /// The machine's own UUID, where it has one.
    pub smbios_uuid: Option<String>,
    /// The condition `Qualified`.
    pub qualified: Finding,
}

/// Looks at the node and judges it, features of networks added, which were
/// found by other means. Blocks: some milliseconds, some seconds where KVM
/// hangs. Leaves nothing behind on the node.
#[must_use]
pub fn qualify(paths: &Paths, allowed: SoftwareEmulation, networks: &[Feature]) -> Findings {
    let kvm = kvm::self_test();
    let bundles = bundle::installed(paths).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot list the QEMU bundles");
        Vec::new()
    });
    let mut features = features::probe(paths);
    features.extend_from_slice(networks);
    let acceleration = acceleration(kvm.self_test, allowed);
    let qualified = judge(acceleration, &kvm, &features, &bundles);
    Findings {
        acceleration,
        kvm,
        cpu: facts::cpu(),
        capacity: facts::capacity(paths.state()),
        features,
        bundles,
        smbios_uuid: facts::smbios_uuid(),
        qualified,
    }
}

fn acceleration(self_test: SelfTest, allowed: SoftwareEmulation) -> Acceleration {
    match (self_test, allowed) {
        (SelfTest::Passed, _) => Acceleration::Kvm,
        (_, SoftwareEmulation::Allow) => Acceleration::SoftwareEmulation,
        (_, SoftwareEmulation::Deny | SoftwareEmulation::Unknown) => Acceleration::None,
    }
}

fn judge(
    acceleration: Acceleration,
    kvm: &KvmFacts,
    features: &[Feature],
    bundles: &[Bundle],
) -> Finding {
    let missing: Vec<String> = features
        .iter()
        .filter(|feature| feature.state != FeatureState::Present)
        .map(|feature| format!("{} (needed for {})", feature.name, feature.needed_for))
        .collect();
    let lacks =
        if missing.is_empty() { String::new() } else { format!("; lacks {}", missing.join(", ")) };
    if bundles.is_empty() {
        let message = format!("there is no QEMU: the node-daemon's image brought no bundle{lacks}");
        return Finding::no(QUALIFIED, "NoBundle", message);
    }
    match acceleration {
        Acceleration::Kvm => Finding::yes(QUALIFIED, "Kvm", format!("KVM works{lacks}")),
        Acceleration::SoftwareEmulation => {
            let message =
                format!("guests run in software, 10 to 50 times slower: {}{lacks}", kvm.message);
            Finding::yes(QUALIFIED, "SoftwareEmulation", message)
        }
        Acceleration::None | Acceleration::Unknown => {
            let message = format!(
                "guests cannot be run: {}; softwareEmulation is not Allow{lacks}",
                kvm.message
            );
            Finding::no(QUALIFIED, "NoAcceleration", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use suigen_crds::condition::Status;

    fn kvm(self_test: SelfTest) -> KvmFacts {
        let message = "KVM is there, but it hangs".into();
        KvmFacts { self_test, message, api_version: None, maximum_vcpus: None }
    }

    fn bundles() -> Vec<Bundle> {
        vec![Bundle { digest: "d".repeat(32), qemu_version: "10.0.2".into() }]
    }

    #[test]
    fn decide_software_emulation_only_where_it_is_allowed_and_needed() {
        use SoftwareEmulation::{Allow, Deny, Unknown};
        let cases = [
            (SelfTest::Passed, Deny, Acceleration::Kvm),
            (SelfTest::Passed, Allow, Acceleration::Kvm),
            (SelfTest::Failed, Deny, Acceleration::None),
            (SelfTest::Failed, Unknown, Acceleration::None),
            (SelfTest::Failed, Allow, Acceleration::SoftwareEmulation),
            (SelfTest::Missing, Allow, Acceleration::SoftwareEmulation),
            (SelfTest::Unknown, Deny, Acceleration::None),
        ];
        for (self_test, allowed, expected) in cases {
            assert_eq!(acceleration(self_test, allowed), expected, "{self_test:?} {allowed:?}");
        }
    }

    #[test]
    fn decide_what_is_missing_is_named_with_its_price() {
        let feature = |name: &str, state| Feature {
            name: name.into(),
            state,
            needed_for: "guaranteed classes".into(),
        };
        let features =
            [feature("cgroup-cpu", FeatureState::Missing), feature("tun", FeatureState::Present)];
        let kvm = kvm(SelfTest::Failed);
        let finding = judge(Acceleration::SoftwareEmulation, &kvm, &features, &bundles());
        assert_eq!((finding.status, finding.reason), (Status::True, "SoftwareEmulation"));
        assert!(finding.message.contains("it hangs"), "{finding:?}");
        assert!(finding.message.ends_with("lacks cgroup-cpu (needed for guaranteed classes)"));
    }

    #[test]
    fn decide_no_bundle_or_no_acceleration_is_no_hypervisor() {
        let none = judge(Acceleration::Kvm, &kvm(SelfTest::Passed), &[], &[]);
        assert_eq!((none.status, none.reason), (Status::False, "NoBundle"));
        let none = judge(Acceleration::None, &kvm(SelfTest::Missing), &[], &bundles());
        assert_eq!((none.status, none.reason), (Status::False, "NoAcceleration"));
    }
}
