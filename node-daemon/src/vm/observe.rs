//! Events and quorum reads in.

use std::time::Duration;

use suigen_crds::hypervisor::Orphan;
use tokio::time::Instant;

use super::event::{Event, Glimpse};
use super::incarnation::Ended;
use super::situation::{Ending, Guest, PowerOff, Reading, Standing, Wish};
use super::task::Task;
use crate::report::runtime::Trouble;
use crate::right::decide::View;
use crate::right::{Log, Verdict};

/// A read that is older than this does not justify a start: the watch that
/// would have told of a change may lag.
pub(super) const READ_COUNTS_FOR: Duration = Duration::from_secs(5);

/// How long a guest that QEMU paused stays so at least.
const BEFORE_RESUME: Duration = Duration::from_secs(2);

impl Task {
    pub(super) async fn take_in(&mut self, event: Event) {
        match event {
            Event::ObjectSeen(glimpse) => {
                self.name = Some((glimpse.namespace.clone(), glimpse.name.clone()));
                if self.reading != Reading::Fresh || self.glimpse.as_ref() != Some(&*glimpse) {
                    self.reading = Reading::Due;
                }
            }
            Event::Woken => self.reading = Reading::Due,
            // Only a start that waits for its disks cares.
            Event::DiskSeen => {
                self.disk_seen = true;
                if self.waits_for_disks {
                    self.hold_until = None;
                }
            }
            Event::Volumes { attempt, outcome } if attempt == self.attempt => {
                self.take_in_volumes(outcome);
            }
            Event::Guest { incarnation, state, detail } if self.is_current(incarnation) => {
                self.take_in_guest(state, detail);
            }
            Event::Exited { incarnation, exit } if self.is_current(incarnation) => {
                self.ended(&exit);
            }
            Event::Volumes { .. } | Event::Guest { .. } | Event::Exited { .. } => {}
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
        if let Err(error) = record.write(&self.node.paths.incarnation_record(&self.uid)) {
            tracing::warn!(error = %error, "record not written");
        }
    }

    /// Reads the object, quorum. Nothing changes here but what is known.
    pub(super) async fn read(&mut self) {
        if self.log.is_err() {
            self.log = Log::open(&self.node.paths.right(&self.uid));
        }
        let Some((namespace, name)) = self.name.clone() else {
            // Nothing tells the name: only a watch can.
            self.view = None;
            self.reading = Reading::Fresh;
            self.read_at = Instant::now();
            return;
        };
        match self.look(&namespace, &name).await {
            Ok(view) => {
                self.view = Some(view);
                self.reading = Reading::Fresh;
                self.read_failures = 0;
                self.after_read();
            }
            Err(trouble) => {
                self.reading = Reading::Failing;
                self.read_failures = self.read_failures.saturating_add(1);
                if !self.guest.exists() {
                    self.trouble = Some(trouble);
                }
            }
        }
        self.read_at = Instant::now();
    }

    async fn look(&mut self, namespace: &str, name: &str) -> Result<View, Trouble> {
        let api = &self.node.api;
        let told = |error: crate::api::ReadError| {
            Trouble::new(
                error.reason(),
                format!("{error}; what runs goes on, and nothing is started until it can be read"),
            )
        };
        let object = api.read_server(namespace, name).await.map_err(told)?;
        let deleted = object.as_ref().is_some_and(|o| o.metadata.deletion_timestamp.is_some());
        let crd_terminating =
            deleted && api.crd_terminating("virtualservers").await.map_err(told)?;
        let view = View::of(&api.me, &self.uid, object.as_ref(), crd_terminating);
        self.glimpse = object.as_ref().map(Glimpse::of);
        self.object = object.filter(|_| matches!(view, View::Unplaced | View::Placed(_)));
        Ok(view)
    }

    fn after_read(&mut self) {
        // A server that went down meanwhile says so before it starts again.
        let restarts = self.situation().standing == Standing::Held(Wish::Run)
            && !self.guest.exists()
            && self.record.as_ref().is_some_and(|record| record.ended.is_some());
        if !restarts {
            self.forget_api_trouble();
        }
        if let Err(error) = &self.log {
            self.trouble = Some(Trouble::new(error.reason(), error.explain()));
        }
        self.forget_own_poweroff();
        if let (Some(Verdict::Hold { .. }), Some(placement)) = (self.verdict(), self.placement()) {
            self.node.ledger.count(&self.uid, placement.class.memory_bytes);
        }
    }

    fn forget_api_trouble(&mut self) {
        self.trouble.take_if(|trouble| trouble.is_about_the_api());
    }

    /// Wanting the server off settles how it ended: the next "on" starts it.
    fn forget_own_poweroff(&mut self) {
        let off = self.object.as_ref().is_some_and(|object| {
            object.spec.power_state == suigen_crds::virtual_server::PowerState::PoweredOff
        });
        let Some(record) = self.record.as_mut().filter(|_| off) else { return };
        if let Some(ended) = record.ended.as_mut().filter(|e| e.how != Ending::PoweredOff) {
            ended.how = Ending::PoweredOff;
            record.failures = 0;
            self.keep_record();
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
