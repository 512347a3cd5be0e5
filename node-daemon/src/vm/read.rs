//! Quorum reads of the server's object, beside the loop: while the API server
//! is away a guest's events are still taken in.

use std::time::Duration;

use suigen_crds::ident::Uid;
use suigen_crds::virtual_server::{PowerState, Runtime, VirtualServer};
use tokio::time::Instant;

use super::event::{Event, Glimpse};
use super::situation::{Ending, Reading, Standing, Wish};
use super::task::Task;
use crate::api::read::retry;
use crate::api::{Api, ReadError};
use crate::report::runtime::{Trouble, explain};
use crate::right::decide::View;
use crate::right::{Log, Verdict};

/// A read that is older than this does not justify a start: the watch that
/// would have told of a change may lag.
pub(super) const COUNTS_FOR: Duration = Duration::from_secs(5);

/// What a read showed.
#[derive(Debug)]
pub struct Look {
    view: View,
    object: Option<VirtualServer>,
}

/// What is known of the object, and how fresh that is.
#[derive(Debug)]
pub struct Known {
    pub(super) reading: Reading,
    /// When the last read began.
    pub(super) since: Instant,
    /// When a failed read is tried again.
    pub(super) retry_at: Option<Instant>,
    failures: u32,
    pub(super) view: Option<View>,
    pub(super) object: Option<VirtualServer>,
    /// Something changed while a read was under way.
    again: bool,
    /// What a watch showed while a read was under way.
    seen: Option<Glimpse>,
    /// What was written while a read was under way: it may have missed it.
    pub(super) written: Option<Runtime>,
}

impl Known {
    /// Nothing yet.
    pub(super) fn nothing() -> Self {
        Self {
            reading: Reading::Due,
            since: Instant::now(),
            retry_at: None,
            failures: 0,
            view: None,
            object: None,
            again: false,
            seen: None,
            written: None,
        }
    }

    fn glimpse(&self) -> Option<Glimpse> {
        self.object.as_ref().map(Glimpse::of)
    }
}

impl Task {
    /// What was read may not be what is.
    pub(super) fn must_read(&mut self) {
        match self.known.reading {
            Reading::UnderWay => self.known.again = true,
            Reading::Fresh | Reading::Due | Reading::Failing => self.known.reading = Reading::Due,
        }
    }

    /// A watch showed the object; most of what it shows was read already.
    pub(super) fn seen(&mut self, glimpse: Glimpse) {
        match self.known.reading {
            Reading::UnderWay => self.known.seen = Some(glimpse),
            Reading::Fresh if self.known.glimpse().as_ref() == Some(&glimpse) => {}
            Reading::Fresh | Reading::Due | Reading::Failing => self.known.reading = Reading::Due,
        }
    }

    /// Begins a read.
    pub(super) fn read(&mut self) {
        if self.log.is_err() {
            self.log = Log::open(&self.node.paths.right(&self.uid));
        }
        self.known.since = Instant::now();
        let Some((namespace, name)) = self.name.clone() else {
            // Nothing tells the name: only a watch can.
            self.known.reading = Reading::Fresh;
            return;
        };
        self.known.reading = Reading::UnderWay;
        self.known.written = None;
        let (node, uid, queue) = (self.node.clone(), self.uid.clone(), self.sender.clone());
        tokio::spawn(async move {
            let outcome = look(&node.api, &namespace, &name, &uid).await;
            let _ = queue.send(Event::Read(outcome));
        });
    }

    pub(super) fn take_in_read(&mut self, outcome: Result<Box<Look>, ReadError>) {
        let again = std::mem::take(&mut self.known.again);
        let seen = self.known.seen.take();
        match outcome {
            Ok(look) => {
                self.known.view = Some(look.view);
                self.known.object = look.object;
                self.known.failures = 0;
                self.known.retry_at = None;
                let missed = seen.is_some() && seen != self.known.glimpse();
                let stale = again || missed;
                self.known.reading = if stale { Reading::Due } else { Reading::Fresh };
                if let (Some(object), Some(written)) =
                    (&mut self.known.object, self.known.written.take())
                {
                    object.status.get_or_insert_default().runtime = Some(written);
                }
                self.after_read();
            }
            Err(error) => {
                self.known.reading = Reading::Failing;
                self.known.failures = self.known.failures.saturating_add(1);
                self.known.retry_at = Some(Instant::now() + retry(self.known.failures));
                self.note_unread(&error);
            }
        }
    }

    /// Said once a spell, and again when the server goes down in it.
    fn note_unread(&mut self, error: &ReadError) {
        let down = !self.guest.exists();
        let known = self.trouble.as_ref().is_some_and(|t| t.reason == error.reason());
        if self.known.failures == 1 || (down && !known) {
            let reason = error.reason();
            tracing::warn!(reason, error = %explain(error), down, "object not read; nothing starts");
        }
        if down {
            self.trouble = Some(told(error));
        }
    }

    fn after_read(&mut self) {
        // A server that went down meanwhile says so before it starts again.
        let restarts = self.situation().standing == Standing::Held(Wish::Run)
            && !self.guest.exists()
            && self.record.as_ref().is_some_and(|record| record.ended.is_some());
        if !restarts {
            self.trouble.take_if(|trouble| trouble.is_about_the_api());
        }
        if let Err(error) = &self.log {
            self.trouble = Some(Trouble::new(error.reason(), error.explain()));
        }
        self.settle_end();
        if let (Some(Verdict::Hold { .. }), Some(placement)) = (self.verdict(), self.placement()) {
            self.node.ledger.count(&self.uid, placement.class.memory_bytes);
        }
    }

    /// Wanting the server off settles how it ended: the next "on" starts it.
    fn settle_end(&mut self) {
        let off = |object: &VirtualServer| object.spec.power_state == PowerState::PoweredOff;
        if !self.known.object.as_ref().is_some_and(off) {
            return;
        }
        let Some(record) = &mut self.record else { return };
        if let Some(ended) = record.ended.as_mut().filter(|e| e.how != Ending::PoweredOff) {
            ended.how = Ending::PoweredOff;
            record.failures = 0;
            self.keep_record();
        }
    }
}

async fn look(api: &Api, namespace: &str, name: &str, uid: &Uid) -> Result<Box<Look>, ReadError> {
    let object = api.read_server(namespace, name).await?;
    let deleted = object.as_ref().is_some_and(|o| o.metadata.deletion_timestamp.is_some());
    let crd_terminating = deleted && api.crd_terminating("virtualservers").await?;
    let view = View::of(&api.me, uid, object.as_ref(), crd_terminating);
    let object = object.filter(|_| matches!(view, View::Unplaced | View::Placed(_)));
    Ok(Box::new(Look { view, object }))
}

fn told(error: &ReadError) -> Trouble {
    let message =
        format!("{error}; what runs goes on, and nothing is started until it can be read");
    Trouble::new(error.reason(), message)
}
