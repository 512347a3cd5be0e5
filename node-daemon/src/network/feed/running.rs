//! The data plane that runs, and what it said last.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::judge::View;
use crate::network::dataplane::{Error, Report};
use crate::network::ident::LinkName;
use crate::network::{DataPlane, Desired};
use crate::report::runtime::{Trouble, explain};

/// What a report says to the counters.
#[derive(Debug)]
pub(super) struct Heard {
    /// Operations that put right what somebody else changed.
    pub repairs: u64,
    /// Why something failed.
    pub errors: Vec<&'static str>,
}

/// A data plane with its task.
#[derive(Debug)]
pub(super) struct Running {
    desired: watch::Sender<Desired>,
    reports: watch::Receiver<Result<Report, Error>>,
    task: JoinHandle<Result<(), Error>>,
    /// Reports since it was fed something else.
    heard: u32,
    links: BTreeSet<LinkName>,
    complete: bool,
    view: View,
}

impl Running {
    /// Begins with what is desired first.
    pub fn start(plane: DataPlane, first: Desired, stop: CancellationToken) -> Self {
        let (desired, wanted) = watch::channel(first);
        let (sender, mut reports) = watch::channel(Ok(Report::default()));
        reports.mark_unchanged();
        let task = tokio::spawn(async move { plane.run(wanted, sender, stop).await });
        let (links, view) = (BTreeSet::new(), View::default());
        // Nothing was desired before: the first report is about this.
        Self { desired, reports, task, heard: 1, links, complete: false, view }
    }

    /// Feeds it, if this is something else.
    pub fn feed(&mut self, wanted: &Desired) {
        let differs = self.desired.send_if_modified(|present| {
            let differs = present != wanted;
            if differs {
                *present = wanted.clone();
            }
            differs
        });
        if differs {
            self.heard = 0;
            self.view.certain = false;
        }
    }

    /// What is desired.
    pub fn fed(&self) -> watch::Ref<'_, Desired> {
        self.desired.borrow()
    }

    /// Waits for a report and takes it in.
    ///
    /// # Errors
    /// When the data plane ended by itself.
    pub async fn hear(&mut self) -> Result<Heard, Trouble> {
        if self.reports.changed().await.is_err() {
            return Err(match (&mut self.task).await {
                Ok(Err(error)) => Trouble::new(error.reason(), explain(&error)),
                Ok(Ok(())) => Trouble::new("DataPlaneEnded", "the data plane was stopped"),
                Err(error) => Trouble::new("DataPlaneEnded", explain(&error)),
            });
        }
        let settled = self.complete && self.heard > 1;
        self.heard = self.heard.saturating_add(1);
        let outcome = self.reports.borrow_and_update();
        self.view = View::of(&outcome, &self.links, self.heard > 1);
        self.links.clone_from(&self.view.links);
        self.complete = outcome.as_ref().is_ok_and(Report::is_complete);
        Ok(match &*outcome {
            Ok(report) => Heard {
                repairs: if settled { report.ops.len() as u64 } else { 0 },
                errors: report.failures.iter().map(|failure| failure.error.reason()).collect(),
            },
            Err(error) => Heard { repairs: 0, errors: vec![error.reason()] },
        })
    }

    /// Makes it look again, where the last report may have been about what was
    /// desired before: it was begun before that report came, so the next one
    /// is not.
    pub fn make_certain(&self) {
        if self.heard == 1 {
            self.desired.send_modify(|_| {});
        }
    }

    /// What it said last.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Waits for its end, once it was stopped.
    pub async fn join(self) {
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(reason = error.reason(), %error, "the data plane ended");
        }
    }
}
