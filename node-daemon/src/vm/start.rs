//! The way up: volumes, QEMU, and the guest's first instruction.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustix::fs::statvfs;
use suigen_crds::hypervisor::Acceleration;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::backoff;
use super::event::Event;
use super::guest::Handle;
use super::incarnation::{Ended, Incarnation};
use super::node::Offer;
use super::read::COUNTS_FOR;
use super::ready::{Ready, make_ready};
use super::situation::{Ending, Guest, Volumes};
use super::task::{Failure, Task, blocking};
use super::volumes::{Asker, NotReady, ReadyVolume};
use crate::hypervisor::qemu::process::{self, Launch, LaunchDisk, LaunchError, LaunchInterface};
use crate::hypervisor::qmp::client::Client;
use crate::hypervisor::qmp::commands::Cont;
use crate::network::feed::Attached;
use crate::report::runtime::explain;

/// A guest that was paused for want of space goes on when this much is free, in bytes.
const ROOM: u64 = 256 << 20;
/// How long a resumed guest is watched before it counts as running again.
const PROBATION: Duration = Duration::from_secs(5);

/// How often in a row a node that was not qualified yet is no news.
const UNSAID: u32 = 40;
/// How long until it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

impl Task {
    /// Looks after what a start needs, in a task of its own: it may take
    /// minutes, and the server may be deleted meanwhile.
    pub(super) fn prepare(&mut self) -> Result<(), Failure> {
        let (Some(placement), Some(object), Some((namespace, _))) =
            (self.placement().cloned(), self.known.object.clone(), self.name.clone())
        else {
            return Ok(());
        };
        self.stop_preparing();
        self.volumes = Volumes::Making;
        self.waits_for_disks = false;
        self.disk_seen = false;
        let (attempt, sender) = (self.attempt, self.sender.clone());
        let asker = Asker { namespace, server: self.uid.clone(), epoch: placement.epoch };
        let (networks, server, epoch) = (self.node.networks.clone(), self.uid.clone(), asker.epoch);
        let interfaces = object.status.as_ref().map(|status| status.interfaces.clone());
        let work = make_ready(self.node.clone(), asker, placement, object);
        let job = tokio::spawn(async move {
            let outcome = work.await.map(Box::new);
            let failed = outcome.is_err();
            let _ = sender.send(Event::Prepared { attempt, outcome });
            let interfaces = interfaces.unwrap_or_default();
            if failed && networks.become_ready(&server, epoch, &interfaces).await {
                let _ = sender.send(Event::PortsReady);
            }
        });
        self.preparing = Some(job.abort_handle());
        Ok(())
    }

    pub(super) fn stop_preparing(&mut self) {
        if let Some(job) = self.preparing.take() {
            job.abort();
        }
        self.attempt += 1;
        self.volumes = Volumes::Unchecked;
        let left = self.ready.take();
        self.discard(left);
    }

    /// Closes the taps of a start that does not come.
    pub(super) fn discard(&self, ready: Option<Box<Ready>>) {
        if ready.is_some_and(|ready| !ready.interfaces.is_empty()) {
            self.node.networks.left(&self.uid);
        }
    }

    pub(super) fn take_in_prepared(&mut self, outcome: Result<Box<Ready>, NotReady>) {
        match outcome {
            Ok(ready) => {
                self.preparing = None;
                self.ready = Some(ready);
                self.volumes = Volumes::Usable;
                self.trouble.take_if(|trouble| !trouble.is_about_the_api());
                self.step_failures = 0;
            }
            Err(NotReady(trouble)) => {
                self.volumes = Volumes::Unchecked;
                self.waits_for_disks = true;
                self.step_failures = self.step_failures.saturating_add(1);
                let delay = backoff::delay(self.step_failures);
                self.hold_until = (!self.disk_seen).then(|| Instant::now() + delay);
                self.disk_seen = false;
                tracing::warn!(
                    reason = trouble.reason,
                    message = trouble.message,
                    "not ready to start"
                );
                self.trouble = Some(trouble);
            }
        }
    }

    /// Starts QEMU; its guest waits.
    pub(super) async fn launch(&mut self) -> Result<(), Failure> {
        if self.known.since.elapsed() > COUNTS_FOR {
            self.must_read();
            return Ok(());
        }
        self.say_why_it_was_down().await;
        let Some(offer) = self.offer()? else { return Ok(()) };
        let bundle = usable_bundle(&offer)?;
        // Whatever comes of this start, the next one is prepared anew.
        let ready = self.ready.take();
        self.volumes = Volumes::Unchecked;
        let (Some(ready), Some(record)) = (ready, self.new_record(bundle)) else { return Ok(()) };
        let (launch, record) = self.plan(record, &offer, *ready)?;
        let path = self.node.paths.incarnation_record(&self.uid);
        block_in_place(|| record.write(&path))
            .map_err(|error| Failure::new(error.reason(), explain(&error)))?;
        self.node.ledger.open(&self.uid, record.disks.clone());
        let incarnation = record.incarnation;
        self.record = Some(record);
        let paths = self.node.paths.clone();
        match blocking(move || process::launch(&paths, &launch)).await? {
            Ok(process) => {
                tracing::info!(incarnation, pid = process.pid(), "QEMU started");
                let (node, uid) = (self.node.clone(), self.uid.clone());
                self.handle =
                    Some(Handle::follow(node, uid, incarnation, process, self.sender.clone()));
                self.guest = Guest::Launching;
                self.trouble = None;
                Ok(())
            }
            Err(error) => Err(self.not_launched(incarnation, &error)),
        }
    }

    /// What the node gives. Right after the daemon's start that is not known;
    /// for a moment nothing is said of it.
    pub(super) fn offer(&mut self) -> Result<Option<Arc<Offer>>, Failure> {
        let offer = self.node.offer.borrow().clone();
        if offer.is_some() {
            return Ok(offer);
        }
        self.unqualified += 1;
        if self.unqualified > UNSAID {
            return Err(Failure::new("NotQualified", "the node does not know yet what it can do"));
        }
        self.hold_until = Some(Instant::now() + ASK_AGAIN);
        Ok(None)
    }

    /// The record of the start that comes next.
    fn new_record(&self, bundle: String) -> Option<Incarnation> {
        let (placement, (namespace, name)) = (self.placement()?, self.name.clone()?);
        let previous = self.record.as_ref();
        Some(Incarnation {
            namespace,
            name,
            epoch: placement.epoch,
            incarnation: previous.map_or(1, |record| record.incarnation + 1),
            boot_id: self.node.boot.clone(),
            bundle,
            disks: Vec::new(),
            memory_bytes: placement.class.memory_bytes,
            first_boot_digest: None,
            started_at: None,
            powering_off: false,
            failures: previous.map_or(0, |record| record.failures),
            ended: None,
        })
    }

    fn plan(
        &self,
        mut record: Incarnation,
        offer: &Offer,
        ready: Ready,
    ) -> Result<(Launch, Incarnation), Failure> {
        let Some(placement) = self.placement() else {
            return Err(Failure::new("NotPlaced", "the server has no placement"));
        };
        record.disks = ready.volumes.iter().map(|volume| volume.disk.clone()).collect();
        record.first_boot_digest = Some(ready.first_boot.digest().clone());
        let launch = Launch {
            server: self.uid.clone(),
            name: format!("{}/{}", record.namespace, record.name),
            epoch: record.epoch,
            incarnation: record.incarnation,
            bundle: record.bundle.clone(),
            vcpus: placement.class.vcpus,
            memory_bytes: placement.class.memory_bytes,
            cpu_floor_millis: placement.class.cpu_floor_millis,
            acceleration: offer.acceleration,
            firmware: placement.firmware,
            disks: ready.volumes.into_iter().map(disk).collect(),
            interfaces: ready.interfaces.into_iter().map(interface).collect(),
            first_boot: ready.first_boot,
        };
        Ok((launch, record))
    }

    fn not_launched(&mut self, incarnation: i64, error: &LaunchError) -> Failure {
        let message = explain(error);
        if !matches!(error, LaunchError::AlreadyRunning { .. }) {
            self.residue.push(incarnation);
        }
        self.node.networks.left(&self.uid);
        self.node.ledger.open(&self.uid, Vec::new());
        if let Some(record) = &mut self.record {
            record.ended = Some(Ended::new(Ending::Failed, error.reason(), &message));
            self.keep_record();
        }
        Failure::new(error.reason(), message)
    }

    /// A guest may run now: the object was read after the last process ended.
    pub(super) async fn set_going(&mut self) -> Result<(), Failure> {
        self.proceed().await?;
        if let Some(record) = &mut self.record {
            record.started_at = Some(this_second());
            self.keep_record();
        }
        Ok(())
    }

    async fn proceed(&mut self) -> Result<(), Failure> {
        let client =
            self.client().ok_or_else(|| Failure::new("QmpUnresponsive", "QEMU does not answer"))?;
        client
            .execute(Cont {})
            .await
            .map_err(|error| Failure::new(error.reason(), explain(&error)))?;
        self.guest = Guest::Running;
        self.detail = "running".to_owned();
        self.trouble = None;
        Ok(())
    }

    /// Lets a guest go on that QEMU paused, if the cause may be gone.
    pub(super) async fn resume(&mut self) -> Result<(), Failure> {
        match self.detail.as_str() {
            "io-error" => {
                let state = statvfs(self.node.paths.volumes())
                    .map_err(|error| Failure::new("IoError", error.to_string()))?;
                if state.f_bavail.saturating_mul(state.f_frsize) < ROOM {
                    return Err(Failure::new("IoError", "the node's storage is full"));
                }
            }
            "paused" => {}
            other => return Err(Failure::new("Suspended", format!("QEMU says: {other}"))),
        }
        self.proceed().await?;
        let later = Some(Instant::now() + PROBATION);
        (self.hold_until, self.report_after) = (later, later);
        Ok(())
    }

    pub(super) fn client(&self) -> Option<Client> {
        self.handle.as_ref().and_then(Handle::client)
    }
}

fn usable_bundle(offer: &Offer) -> Result<String, Failure> {
    let Some(bundle) = offer.bundle.clone() else {
        return Err(Failure::new("NoBundle", "the node has no QEMU bundle"));
    };
    if matches!(offer.acceleration, Acceleration::None | Acceleration::Unknown) {
        let message = "KVM does not work on the node and its Hypervisor does not allow software emulation any more";
        return Err(Failure::new("NoAcceleration", message));
    }
    Ok(bundle)
}

fn disk(ready: ReadyVolume) -> LaunchDisk {
    LaunchDisk { name: ready.name, volume: ready.disk }
}

fn interface(attached: Attached) -> LaunchInterface {
    LaunchInterface { mac: attached.mac, mtu: attached.mtu, tap: attached.fd }
}

/// The API keeps times in seconds; a finer one would differ from it for ever.
fn this_second() -> Time {
    let now = jiff::Timestamp::now();
    Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now))
}
