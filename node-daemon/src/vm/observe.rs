//! Events and quorum reads in.

use std::time::Duration;

use suigen_crds::hypervisor::Orphan;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::event::Event;
use super::incarnation::Ended;
use super::situation::{Ending, Guest, PowerOff};
use super::task::Task;
use crate::right::Verdict;

/// How long a guest that QEMU paused stays so at least.
const BEFORE_RESUME: Duration = Duration::from_secs(2);

impl Task {
    pub(super) async fn take_in(&mut self, event: Event) {
        match event {
            Event::ObjectSeen(glimpse) => {
                self.name = Some((glimpse.namespace.clone(), glimpse.name.clone()));
                self.seen(*glimpse);
            }
            Event::Woken => self.must_read(),
            Event::Read(outcome) => self.take_in_read(outcome),
            // Only a start that waits for them cares.
            Event::DiskSeen | Event::PortsReady => {
                self.disk_seen = true;
                if self.waits_for_disks {
                    self.hold_until = None;
                }
            }
            Event::Prepared { attempt, outcome } if attempt == self.attempt => {
                self.take_in_prepared(outcome);
            }
            Event::Guest { incarnation, state, detail } if self.is_current(incarnation) => {
                self.take_in_guest(state, detail);
            }
            Event::Exited { incarnation, exit } if self.is_current(incarnation) => {
                self.ended(&exit);
            }
            Event::Prepared { outcome, .. } => self.discard(outcome.ok()),
            Event::Guest { .. } | Event::Exited { .. } => {}
        }
    }

    fn is_current(&self, incarnation: i64) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.incarnation() == incarnation)
    }

    fn take_in_guest(&mut self, state: Guest, detail: String) {
        if state == Guest::Silent && self.guest != Guest::Silent {
            self.node.metrics.qmp_silences.inc();
        }
        tracing::info!(?state, detail, "guest");
        if state == Guest::Suspended && self.guest != Guest::Suspended {
            // First it is said; only then is it looked whether the cause is gone.
            self.hold_until.get_or_insert(Instant::now() + BEFORE_RESUME);
        }
        self.guest = state;
        self.detail = detail;
        if state == Guest::Halted && self.power_off == PowerOff::None {
            self.note_own_poweroff();
        }
    }

    /// The guest powered itself off: what that means must survive a restart of
    /// the daemon before the process is gone.
    fn note_own_poweroff(&mut self) {
        let Some(record) = self.record.as_mut().filter(|r| !r.powering_off && r.ended.is_none())
        else {
            return;
        };
        let message = "the guest powered itself off";
        record.ended = Some(Ended::new(Ending::GuestPoweredOff, "GuestPoweredOff", message));
        self.keep_record();
    }

    /// Writes the record; a failure is said, and the run goes on.
    pub(super) fn keep_record(&mut self) {
        let Some(record) = &self.record else { return };
        let path = self.node.paths.incarnation_record(&self.uid);
        if let Err(error) = block_in_place(|| record.write(&path)) {
            tracing::warn!(error = %error, "record not written");
        }
    }

    /// Lists the guest as an orphan, or no longer.
    pub(super) fn note_orphan(&self) {
        let orphan = match self.verdict() {
            Some(Verdict::Orphan(reason)) => Some(reason.as_str()),
            // A right that nobody knows of and nobody uses takes nothing of the node.
            Some(Verdict::Idle) => {
                self.node.ledger.release(&self.uid);
                None
            }
            None if self.guest.exists() && self.name.is_none() => Some("NameUnknown"),
            _ => None,
        };
        let server = self.name.as_ref().map_or_else(
            || "unknown".to_owned(),
            |(namespace, name)| format!("{namespace}/{name}"),
        );
        let orphan = orphan.map(|reason| Orphan {
            server_uid: self.uid.clone(),
            server,
            epoch: self.running().and_then(|running| running.epoch),
            reason: reason.to_owned(),
        });
        self.node.ledger.orphan(&self.uid, orphan);
    }
}
