//! The loop of one server: what is known, the next step, carry it out, report,
//! wait for the next event.

use std::sync::Arc;
use std::time::Duration;

use suigen_crds::ident::{Epoch, Uid};
use suigen_crds::virtual_server::Placement;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backoff;
use super::decide::{self, Step};
use super::event::Event;
use super::guest::Handle;
use super::incarnation::Incarnation;
use super::node::Node;
use super::read::Known;
use super::ready::Ready;
use super::situation::{self, Guest, PowerOff, Situation, Standing, Volumes};
use crate::metrics::StepOutcome;
use crate::report::runtime::Trouble;
use crate::right::decide::{self as judge, Running};
use crate::right::{History, Log, LogError, Verdict};

/// A server that nothing is known to happen to is read again this often: the
/// last net under a lost wake-up.
const RESYNC: Duration = Duration::from_secs(600);

/// One server's task.
#[derive(Debug)]
pub struct Task {
    pub(super) node: Arc<Node>,
    pub(super) uid: Uid,
    pub(super) sender: mpsc::UnboundedSender<Event>,
    pub(super) queue: mpsc::UnboundedReceiver<Event>,
    /// Namespace and name, once known.
    pub(super) name: Option<(String, String)>,
    pub(super) log: Result<Log, LogError>,
    pub(super) record: Option<Incarnation>,
    pub(super) known: Known,
    pub(super) guest: Guest,
    pub(super) detail: String,
    pub(super) handle: Option<Handle>,
    pub(super) volumes: Volumes,
    /// What the next start goes with; there while `volumes` are usable.
    pub(super) ready: Option<Box<Ready>>,
    pub(super) attempt: u64,
    pub(super) preparing: Option<AbortHandle>,
    /// The last look at what a start needs found something that was not ready.
    pub(super) waits_for_disks: bool,
    /// A Disk or port changed while they were looked after.
    pub(super) disk_seen: bool,
    pub(super) power_off: PowerOff,
    pub(super) power_deadline: Option<Instant>,
    /// When the power button is pressed again: a guest that boots may have missed it.
    pub(super) press_again: Option<Instant>,
    /// The incarnations whose remains are to be removed.
    pub(super) residue: Vec<i64>,
    pub(super) hold_until: Option<Instant>,
    pub(super) step_failures: u32,
    pub(super) trouble: Option<Trouble>,
    /// How often the node's offer was asked for in vain.
    pub(super) unqualified: u32,
    /// A placement that was looked at and found impossible.
    pub(super) declined: Option<(Epoch, Trouble)>,
    /// Since when the present report would be made.
    pub(super) unsaid_since: Option<Instant>,
    /// When a passing state has lasted long enough to be reported.
    pub(super) settles_at: Option<Instant>,
    pub(super) report_failures: u32,
    pub(super) report_after: Option<Instant>,
}

/// Why a step was not carried out; it is tried again.
#[derive(Debug)]
pub(super) struct Failure(pub Trouble);

impl Failure {
    pub(super) fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Trouble::new(reason, message))
    }
}

impl Task {
    /// Runs until the server is forgotten, or the daemon stops. Guests are left
    /// alone in either case.
    pub async fn run(mut self) {
        let stop = self.node.stop.clone();
        let span = tracing::info_span!("server", uid = %self.uid);
        let work = async { while self.turn().await {} };
        tokio::select! {
            () = tracing::Instrument::instrument(work, span) => {}
            () = stop.cancelled() => {}
        }
        self.stop_preparing();
    }

    /// One turn of the loop; false when there is nothing left to do for ever.
    async fn turn(&mut self) -> bool {
        while let Ok(event) = self.queue.try_recv() {
            self.take_in(event).await;
        }
        self.note_orphan();
        let situation = self.situation();
        match decide::next(&situation) {
            Step::Wait => {
                self.say(&situation).await;
                self.wait().await;
                true
            }
            Step::Forget => !self.carry_out(Step::Forget).await,
            step => {
                self.carry_out(step).await;
                true
            }
        }
    }

    async fn wait(&mut self) {
        let deadline = self.deadline();
        tokio::select! {
            event = self.queue.recv() => {
                if let Some(event) = event {
                    self.take_in(event).await;
                }
            }
            () = tokio::time::sleep_until(deadline) => self.on_time().await,
        }
    }

    fn deadline(&self) -> Instant {
        // One that has passed was seen by the last decision and wakes nobody.
        let power = self.power_deadline.filter(|at| *at > Instant::now());
        [
            self.known.retry_at,
            power,
            self.press_again,
            self.hold_until,
            self.settles_at,
            self.report_after,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or_else(|| self.known.since + RESYNC)
    }

    async fn on_time(&mut self) {
        let now = Instant::now();
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.hold_until) {
            self.hold_until = None;
        }
        if passed(self.press_again) {
            self.press_power_button().await;
        }
        if passed(self.settles_at) {
            self.settles_at = None;
        }
        if passed(self.report_after) {
            self.report_after = None;
        }
        if passed(self.known.retry_at) || self.known.since + RESYNC <= now {
            self.known.retry_at = None;
            self.must_read();
        }
    }

    /// Carries out one step; false when it failed and is held back.
    async fn carry_out(&mut self, step: Step) -> bool {
        let result = match step {
            Step::Wait => Ok(()),
            Step::Read => {
                self.read();
                return true;
            }
            Step::Take => self.take(),
            Step::Refuse => self.refuse().await,
            Step::SayReleased => self.say_released().await,
            Step::Prepare => self.prepare(),
            Step::Launch => self.launch().await,
            Step::Continue => self.set_going().await,
            Step::Resume => self.resume().await,
            Step::AskPowerOff => self.ask_power_off().await,
            Step::Quit => self.quit().await,
            Step::Kill => self.kill().await,
            Step::CleanUp => self.clean_up().await,
            Step::Release => self.release(true).await,
            Step::Yield => self.release(false).await,
            Step::Forget => self.forget().await,
        };
        let name: &'static str = step.into();
        let (done, outcome) = match result {
            // Whether the volumes are ready is known later, and counted then.
            Ok(()) if step == Step::Prepare => (true, "Done"),
            Ok(()) => {
                self.step_failures = 0;
                (true, "Done")
            }
            Err(failure) => {
                self.hold_back(failure, name);
                (false, "Failed")
            }
        };
        self.node.metrics.steps.get_or_create(&StepOutcome { step: name, outcome }).inc();
        done
    }

    fn hold_back(&mut self, Failure(trouble): Failure, step: &'static str) {
        self.step_failures = self.step_failures.saturating_add(1);
        let delay = backoff::delay(self.step_failures);
        tracing::warn!(
            step,
            reason = trouble.reason,
            message = trouble.message,
            ?delay,
            "held back"
        );
        self.hold_until = Some(Instant::now() + delay);
        self.trouble = Some(trouble);
    }

    /// What decides the next step.
    pub(super) fn situation(&self) -> Situation {
        let now = Instant::now();
        Situation {
            standing: self.standing(),
            reading: self.known.reading,
            guest: self.guest,
            volumes: self.volumes,
            power_off: self.power_off,
            overdue: self.power_deadline.is_some_and(|at| at <= now),
            residue: !self.residue.is_empty(),
            holding_back: self.hold_until.is_some_and(|at| at > now),
        }
    }

    fn standing(&self) -> Standing {
        if self.log.is_err() {
            return Standing::Frozen;
        }
        match self.verdict() {
            None => Standing::Unread,
            Some(Verdict::Hold { ending, .. }) => {
                let ended = self.record.as_ref().and_then(|record| record.ended.as_ref());
                let spec = self.known.object.as_ref().map(|object| &object.spec);
                spec.map_or(Standing::Unread, |spec| {
                    Standing::Held(situation::wish(spec, ending, ended.map(|ended| ended.how)))
                })
            }
            Some(Verdict::Take { epoch }) => match &self.declined {
                Some((declined, _)) if *declined == epoch => Standing::Refuse,
                _ => Standing::Take,
            },
            Some(Verdict::Refuse { .. }) => Standing::Refuse,
            Some(Verdict::SayReleased { .. }) => Standing::GivenUp,
            Some(Verdict::Superseded { .. }) => Standing::Superseded,
            Some(Verdict::Orphan(_)) => Standing::Orphan,
            Some(Verdict::Idle) => Standing::Idle,
            Some(Verdict::Forget) => Standing::Forget,
        }
    }

    /// The last read, judged by what is known now.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        Some(judge::judge(self.known.view?, self.history()?, self.running()))
    }

    pub(super) fn history(&self) -> Option<&History> {
        self.log.as_ref().ok().map(Log::history)
    }

    pub(super) fn running(&self) -> Option<Running> {
        let epoch = self.record.as_ref().map(|record| record.epoch);
        self.guest.exists().then_some(Running { epoch })
    }

    pub(super) fn placement(&self) -> Option<&Placement> {
        self.known.object.as_ref()?.status.as_ref()?.placement.as_ref()
    }
}

/// Runs what waits for the kernel or the disk outside the loop's thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new("DaemonStopping", error.to_string()))
}
