//! Taking, refusing and releasing the right: the log first, then the effect.

use suigen_crds::hypervisor::Acceleration;
use suigen_crds::ident::Epoch;
use suigen_crds::server_class::ResourceType;
use suigen_crds::server_image::Firmware;
use suigen_crds::virtual_server::Placement;

use tokio::task::block_in_place;

use super::node::Offer;
use super::task::{Failure, Task, blocking};
use crate::hypervisor::qemu::process;
use crate::metrics::Reason;
use crate::report::runtime::{Trouble, explain, given_up};
use crate::right::{Log, Verdict, Word};

impl Task {
    /// Checks that the server can run here, and takes the right.
    pub(super) fn take(&mut self) -> Result<(), Failure> {
        let Some(placement) = self.placement().cloned() else { return Ok(()) };
        let Some(offer) = self.offer()? else { return Ok(()) };
        // What runs already fits, whatever the sums say.
        let fits = match self.guest.exists() {
            true => Ok(()),
            false => can_honour(&placement, &offer).and_then(|()| {
                let bytes = placement.class.memory_bytes;
                self.node
                    .ledger
                    .reserve(&self.uid, bytes, offer.memory_bytes)
                    .map_err(|short| Trouble::new("DoesNotFit", short.to_string()))
            }),
        };
        if let Err(why) = fits {
            self.declined = Some((placement.epoch, why));
            return Ok(());
        }
        let (namespace, name) = self.name.clone().unwrap_or_default();
        self.append(&Word::Held {
            epoch: placement.epoch,
            namespace,
            name,
            memory_bytes: placement.class.memory_bytes,
        })?;
        // Volumes that are being looked after are so for an earlier right.
        self.stop_preparing();
        self.trouble = None;
        tracing::info!(epoch = placement.epoch.0, "run right taken");
        Ok(())
    }

    /// Declines the placement in the log and then in the API.
    pub(super) async fn refuse(&mut self) -> Result<(), Failure> {
        let Some(placement) = self.placement() else { return Ok(()) };
        let epoch = placement.epoch;
        let why = self.why_refused(epoch);
        let logged = self.history().and_then(|history| history.refused.as_ref());
        if logged.is_none_or(|refused| refused.epoch != epoch) {
            if let Some(held) = self.history().and_then(|history| history.held.as_ref()) {
                self.append(&Word::Released { epoch: held.epoch })?;
            }
            let (reason, message) = (why.reason.clone(), why.message.clone());
            self.append(&Word::Refused { epoch, reason, message })?;
            self.node.ledger.release(&self.uid);
            self.node.metrics.refusals.get_or_create(&Reason { reason: metric(&why.reason) }).inc();
        }
        let highest = self.history().and_then(|history| history.highest).unwrap_or(epoch);
        let me = &self.node.api.me.node;
        let report = given_up(me, &self.node.boot, epoch, highest.max(epoch), Some(why));
        self.said(report).await
    }

    fn why_refused(&self, epoch: Epoch) -> Trouble {
        let logged = self.history().and_then(|history| history.refused.as_ref());
        if let Some(refused) = logged.filter(|refused| refused.epoch == epoch) {
            return Trouble::new(&refused.reason, &refused.message);
        }
        match (&self.declined, self.verdict()) {
            (Some((declined, why)), _) if *declined == epoch => why.clone(),
            (_, Some(Verdict::Refuse { why, .. })) => Trouble::new(why.reason(), why.message()),
            _ => Trouble::new("Refused", "the placement cannot be honoured"),
        }
    }

    /// Says what the log says already: that the right was given up.
    pub(super) async fn say_released(&mut self) -> Result<(), Failure> {
        let Some(Verdict::SayReleased { epoch, released }) = self.verdict() else { return Ok(()) };
        let me = &self.node.api.me.node;
        self.said(given_up(me, &self.node.boot, epoch, released, None)).await
    }

    async fn said(&mut self, report: suigen_crds::virtual_server::Runtime) -> Result<(), Failure> {
        let expected = report.clone();
        self.write_report(report).await;
        let stored =
            self.known.object.as_ref().and_then(|object| object.status.as_ref()?.runtime.as_ref());
        if stored != Some(&expected) {
            return Err(Failure::new("ReportNotWritten", "the API server did not take the report"));
        }
        if let Some(crate::right::decide::View::Placed(claim)) = &mut self.known.view {
            claim.said_released = true;
        }
        Ok(())
    }

    /// Removes what the server had here and gives the right up; `ending` tells a
    /// deletion from a right that moved on.
    pub(super) async fn release(&mut self, ending: bool) -> Result<(), Failure> {
        let epoch = match self.verdict() {
            Some(Verdict::Hold { epoch, .. }) if ending => epoch,
            Some(Verdict::Superseded { held }) if !ending => held,
            _ => return Ok(()),
        };
        self.stop_preparing();
        self.remove_files().await?;
        self.append(&Word::Released { epoch })?;
        self.node.ledger.release(&self.uid);
        self.record = None;
        self.trouble = None;
        self.declined = None;
        tracing::info!(epoch = epoch.0, ending, "run right released");
        Ok(())
    }

    /// Removes the log of a right that was given up and whose object is gone.
    pub(super) async fn forget(&mut self) -> Result<(), Failure> {
        self.remove_files().await?;
        self.node.ledger.release(&self.uid);
        let path = self.node.paths.right(&self.uid);
        let log = Log::open(&path).map_err(|error| self.log_failure(&error))?;
        log.remove().map_err(|error| self.log_failure(&error))
    }

    async fn remove_files(&self) -> Result<(), Failure> {
        let (paths, uid) = (self.node.paths.clone(), self.uid.clone());
        blocking(move || process::remove_server(&paths, &uid))
            .await?
            .map_err(|error| Failure::new(error.reason(), explain(&error)))
    }

    /// Adds a word to the log; nothing may be done on its strength before.
    fn append(&mut self, word: &Word) -> Result<(), Failure> {
        let appended = match &mut self.log {
            Ok(log) => block_in_place(|| log.append(word)),
            Err(_) => {
                return Err(Failure::new("LogFrozen", "the run-right log cannot be believed"));
            }
        };
        appended.map_err(|error| self.log_failure(&error))
    }

    fn log_failure(&self, error: &crate::right::LogError) -> Failure {
        let reason = error.reason();
        self.node.metrics.log_errors.get_or_create(&Reason { reason }).inc();
        Failure::new(reason, error.explain())
    }
}

fn can_honour(placement: &Placement, offer: &Offer) -> Result<(), Trouble> {
    let refuse = |reason: &str, message: &str| Err(Trouble::new(reason, message));
    match placement.firmware {
        Firmware::Bios | Firmware::Uefi => {}
        Firmware::Unknown => {
            return refuse("UnknownFirmware", "the node's version does not know this firmware");
        }
    }
    match (placement.class.resource_type, offer.guarantees) {
        (ResourceType::BestEffort, _) | (ResourceType::Guaranteed, true) => {}
        (ResourceType::Guaranteed, false) => {
            return refuse(
                "CannotGuarantee",
                "the node lacks cgroup-cpu or cgroup-memory, which a Guaranteed class needs",
            );
        }
        (ResourceType::Unknown, _) => {
            return refuse(
                "UnknownResourceType",
                "the node's version does not know this resource type",
            );
        }
    }
    if offer.bundle.is_none() {
        return refuse("NoBundle", "the node has no QEMU bundle");
    }
    match offer.acceleration {
        Acceleration::Kvm | Acceleration::SoftwareEmulation => Ok(()),
        Acceleration::None | Acceleration::Unknown => refuse(
            "NoAcceleration",
            "KVM does not work on the node and its Hypervisor does not allow software emulation",
        ),
    }
}

/// The reasons of refusals, as label values.
fn metric(reason: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        "LogReplaced",
        "StaleEpoch",
        "GivenUp",
        "DoesNotFit",
        "UnknownFirmware",
        "UnknownResourceType",
        "CannotGuarantee",
        "NoBundle",
        "NoAcceleration",
    ];
    KNOWN.into_iter().find(|known| *known == reason).unwrap_or("Other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use suigen_crds::virtual_server::ResolvedClass;

    #[test]
    fn decide_what_the_node_can_honour() {
        let offer = Offer {
            acceleration: Acceleration::SoftwareEmulation,
            memory_bytes: 1 << 30,
            guarantees: false,
            bundle: Some("b".into()),
        };
        let placement = |firmware, resource_type| Placement {
            node_name: "node-a".to_owned().try_into().unwrap(),
            epoch: Epoch(1),
            wal_id: "0a000000-0000-4000-8000-000000000001".to_owned().try_into().unwrap(),
            class: ResolvedClass {
                name: "c".into(),
                resource_type,
                vcpus: 1,
                memory_bytes: 1,
                cpu_floor_millis: 0,
            },
            firmware,
            disks: vec![],
        };
        let best = placement(Firmware::Bios, ResourceType::BestEffort);
        assert_eq!(can_honour(&best, &offer), Ok(()));
        let reason = |placement, offer| can_honour(&placement, &offer).unwrap_err().reason;
        let guaranteed = placement(Firmware::Bios, ResourceType::Guaranteed);
        assert_eq!(reason(guaranteed, offer.clone()), "CannotGuarantee");
        let firmware = placement(Firmware::Unknown, ResourceType::BestEffort);
        assert_eq!(reason(firmware, offer.clone()), "UnknownFirmware");
        let resource = placement(Firmware::Bios, ResourceType::Unknown);
        assert_eq!(reason(resource, offer.clone()), "UnknownResourceType");
        assert_eq!(reason(best.clone(), Offer { bundle: None, ..offer.clone() }), "NoBundle");
        assert_eq!(
            reason(best, Offer { acceleration: Acceleration::None, ..offer }),
            "NoAcceleration"
        );
        assert_eq!(metric("DoesNotFit"), "DoesNotFit");
    }
}
