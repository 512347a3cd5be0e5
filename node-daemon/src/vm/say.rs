//! What is said of the server: written when it differs from what stands there,
//! and lasts.

use std::time::Duration;

use kube::core::ObjectMeta;
use suigen_crds::virtual_server::{Runtime, RuntimeState};
use tokio::time::Instant;

use super::backoff;
use super::situation::{Ending, Situation, Volumes};
use super::task::Task;
use crate::report::runtime::{self, Account};

/// A step to running that was overtaken this quickly is not worth a write.
const SETTLE: Duration = Duration::from_millis(1500);

impl Task {
    /// Writes the report, unless it stands there already or is about to be
    /// overtaken.
    pub(super) async fn say(&mut self, situation: &Situation) {
        let Some(report) = self.report(situation) else { return };
        if self.stored() == Some(&report) {
            self.unsaid_since = None;
            return;
        }
        let now = Instant::now();
        let since = *self.unsaid_since.get_or_insert(now);
        self.settles_at = (passing(&report) && now < since + SETTLE).then(|| since + SETTLE);
        if self.settles_at.is_some() {
            return;
        }
        if self.report_after.is_none_or(|at| at <= now) {
            self.write_report(report).await;
        }
    }

    /// A server that was down says so before it starts again, however short that was.
    pub(super) async fn say_why_it_was_down(&mut self) {
        let failed = self.record.as_ref().and_then(|record| record.ended.as_ref());
        if failed.is_some_and(|ended| ended.how == Ending::Failed) {
            let situation = Situation { volumes: Volumes::Unchecked, ..self.situation() };
            self.say(&situation).await;
        }
    }

    fn report(&self, situation: &Situation) -> Option<Runtime> {
        let placement = self.placement()?;
        let me = &self.node.api.me;
        if placement.node_name != me.node || placement.wal_id != me.log {
            return None;
        }
        runtime::report(&Account {
            node: &me.node,
            boot: &self.node.boot,
            epoch: placement.epoch,
            situation,
            record: self.record.as_ref(),
            trouble: self.trouble.as_ref(),
            detail: &self.detail,
            released: self.history().and_then(|history| history.given_up),
        })
    }

    fn stored(&self) -> Option<&Runtime> {
        self.known.object.as_ref()?.status.as_ref()?.runtime.as_ref()
    }

    /// Writes a report, and remembers that it stands there.
    pub(super) async fn write_report(&mut self, report: Runtime) {
        let Some(object) = &mut self.known.object else { return };
        let meant = ObjectMeta {
            name: object.metadata.name.clone(),
            namespace: object.metadata.namespace.clone(),
            uid: object.metadata.uid.clone(),
            ..ObjectMeta::default()
        };
        match self.node.api.write_runtime(&meant, &report).await {
            Ok(()) => {
                tracing::info!(state = ?report.state, reason = ?report.reason, "reported");
                object.status.get_or_insert_default().runtime = Some(report.clone());
                self.known.written = Some(report);
                self.report_failures = 0;
                self.unsaid_since = None;
                self.report_after = None;
            }
            Err(error) => {
                self.report_failures = self.report_failures.saturating_add(1);
                let delay = backoff::delay(self.report_failures);
                tracing::warn!(error = %runtime::explain(&error), ?delay, "report not written");
                self.report_after = Some(Instant::now() + delay);
                // What stands there may not be what was last read.
                self.must_read();
            }
        }
    }
}

/// Whether a report is of a state that usually lasts a moment only.
fn passing(report: &Runtime) -> bool {
    matches!(
        report.state,
        RuntimeState::Preparing | RuntimeState::Starting | RuntimeState::Stopping
    ) && report.reason.is_none()
}
