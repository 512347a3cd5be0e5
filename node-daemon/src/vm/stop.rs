//! Power-off, and what follows the end of a process.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff;
use super::incarnation::Ended;
use super::situation::{Ending, Guest, PowerOff, Standing, Volumes, Wish};
use super::task::{Failure, Task, blocking};
use crate::hypervisor::qemu::{logs, process};
use crate::hypervisor::qmp::commands::{Quit, SystemPowerdown};
use crate::metrics::Reason;
use crate::report::runtime::explain;

/// How long a guest may take to power itself off.
const GRACE: Duration = Duration::from_secs(60);
/// How long until a guest that did not react is asked again.
const PRESS_AGAIN: Duration = Duration::from_secs(5);
/// How long QEMU may take to quit, and the kernel to kill it.
const QUIT: Duration = Duration::from_secs(10);
/// How much of QEMU's log goes into a message, in bytes.
const LOG_TAIL: u64 = 1024;

impl Task {
    pub(super) async fn ask_power_off(&mut self) -> Result<(), Failure> {
        self.note_power_off();
        self.power_off = PowerOff::Asked;
        self.power_deadline = Some(Instant::now() + GRACE);
        self.press_power_button().await;
        Ok(())
    }

    /// A guest that cannot be asked is made to quit when its grace is over.
    pub(super) async fn press_power_button(&mut self) {
        self.press_again = None;
        if self.power_off != PowerOff::Asked {
            return;
        }
        self.press_again = Some(Instant::now() + PRESS_AGAIN);
        let pressed = match self.client() {
            Some(client) => client.execute(SystemPowerdown {}).await.map_err(|e| explain(&e)),
            None => Err("QEMU does not answer".to_owned()),
        };
        if let Err(error) = pressed {
            tracing::warn!(error, "guest not asked to power off");
        }
    }

    pub(super) async fn quit(&mut self) -> Result<(), Failure> {
        if !matches!(self.situation().standing, Standing::Held(Wish::Run)) {
            self.note_power_off();
        }
        self.power_off = PowerOff::Quitting;
        self.power_deadline = Some(Instant::now() + QUIT);
        if let Some(client) = self.client()
            && let Err(error) = client.execute(Quit {}).await
        {
            tracing::debug!(error = %explain(&error), "QEMU did not confirm that it quits");
        }
        Ok(())
    }

    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        self.note_power_off();
        self.power_off = PowerOff::Killing;
        self.power_deadline = Some(Instant::now() + QUIT);
        let Some(handle) = &self.handle else { return Ok(()) };
        let process = handle.process();
        tracing::warn!(pid = process.pid(), "killing QEMU");
        blocking(move || process.kill())
            .await?
            .map_err(|error| Failure::new(error.reason(), explain(&error)))
    }

    /// From now on a poweroff is ours, also in the eyes of the next daemon.
    fn note_power_off(&mut self) {
        if let Some(record) = self.record.as_mut().filter(|record| !record.powering_off) {
            record.powering_off = true;
            self.keep_record();
        }
    }

    /// The process is gone.
    pub(super) fn ended(&mut self, exit: &str) {
        let Some(handle) = self.handle.take() else { return };
        self.guest = Guest::Absent;
        self.power_off = PowerOff::None;
        self.power_deadline = None;
        self.press_again = None;
        self.volumes = Volumes::Unchecked;
        self.must_read();
        self.residue.push(handle.incarnation());
        self.node.networks.left(&self.uid);
        self.node.ledger.open(&self.uid, Vec::new());
        let how = self.note_end(exit);
        tracing::info!(?how, exit, "process ended");
        let reason = match how {
            Ending::GuestPoweredOff => "GuestPoweredOff",
            Ending::Failed => "Failed",
            Ending::PoweredOff => "PoweredOff",
        };
        self.node.metrics.qemu_exits.get_or_create(&Reason { reason }).inc();
    }

    fn note_end(&mut self, exit: &str) -> Ending {
        let log = logs::tail(&self.node.paths.qemu_log(&self.uid), LOG_TAIL);
        let Some(record) = self.record.as_mut() else { return Ending::Failed };
        let ended = record.ended.get_or_insert_with(|| {
            if record.powering_off {
                return Ended::new(Ending::PoweredOff, "PoweredOff", "powered off");
            }
            let log = match log.trim() {
                "" => "it wrote no log".to_owned(),
                log => format!("its log ends: {log}"),
            };
            let message = format!("QEMU ended by itself ({exit}); {log}");
            Ended::new(Ending::Failed, "QemuExited", message)
        });
        let how = ended.how;
        record.failures = match how {
            Ending::PoweredOff => 0,
            Ending::GuestPoweredOff | Ending::Failed => {
                backoff::count(record.failures, ran_for(record.started_at.as_ref()))
            }
        };
        self.hold_until = Some(Instant::now() + backoff::delay(record.failures));
        self.keep_record();
        how
    }

    pub(super) async fn clean_up(&mut self) -> Result<(), Failure> {
        while let Some(incarnation) = self.residue.last().copied() {
            let (paths, uid) = (self.node.paths.clone(), self.uid.clone());
            blocking(move || process::clean(&paths, &uid, incarnation))
                .await?
                .map_err(|error| Failure::new(error.reason(), explain(&error)))?;
            self.residue.pop();
        }
        Ok(())
    }
}

fn ran_for(started: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>) -> Duration {
    started.map_or(Duration::ZERO, |at| {
        let seconds = jiff::Timestamp::now().as_second() - at.0.as_second();
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    })
}
