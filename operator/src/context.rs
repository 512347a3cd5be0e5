//! What every reconcile shares: client, stores, and what this process
//! remembers between two looks at an object. All of it may be lost at any time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::DynamicObject;
use kube::runtime::events::Recorder;
use kube::{Api, Client, Resource};
use tokio_util::task::TaskTracker;

use crate::events::{self, Announcement};
use crate::hypervisor::heartbeat::Heartbeats;
use crate::memory::{Created, Pace, Patience, Refusals, Written};
use crate::metrics::Metrics;
use crate::network_segment::HeldUp;
use crate::placement::ledger::Ledger;
use crate::tenant_network::allocate::VniRange;
use crate::watch::Stores;
use crate::watch::unreadable::Unreadable;
use crate::watch::wake::Wake;

/// What every reconcile shares.
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// What was read of every kind.
    pub stores: Stores,
    /// What could not be read.
    pub unreadable: Unreadable,
    /// Who is looked at again.
    pub wake: Wake,
    /// Rooms promised and not yet seen.
    pub ledger: Mutex<Ledger>,
    /// Own writes that a store must show before it is believed.
    pub written: Written,
    /// Disks that were made and that the store does not show yet.
    pub created: Created,
    /// Status writes that are put off for a moment.
    pub patience: Patience,
    /// Counts that are written now and then.
    pub pace: Pace,
    /// Segments whose release waits for more than time.
    pub held_up: HeldUp,
    /// Hypervisors that refused a server lately.
    pub refusals: Refusals,
    /// The VNIs that networks are given.
    pub vnis: VniRange,
    /// When each hypervisor was heard of last.
    pub heartbeats: Heartbeats,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Publishes events.
    pub recorder: Recorder,
    /// Short errands that nobody waits for; joined at the end.
    pub errands: TaskTracker,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

/// The field manager of conditions, phase and sources.
pub const MANAGER: &str = "suigen-operator";
/// The field manager of what is given out: placement and attachments.
pub const PLACEMENT_MANAGER: &str = "suigen-operator-placement";

impl Context {
    /// The ledger, for the time of one decision.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was remembered of an object that is gone.
    pub fn forget<K: Resource>(&self, object: &K) {
        if let Some(uid) = &object.meta().uid {
            self.written.forget(uid);
            self.patience.forget(uid);
            self.pace.forget(uid);
            self.metrics.releases_held_up.set(self.held_up.note(uid, false));
            self.refusals.forget(uid);
        }
    }

    /// Whether the CRD of a kind is itself being deleted: then the deletion of
    /// its objects means nothing. A CRD that cannot be found counts as deleted.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn crd_is_terminating(&self, plural: &str) -> kube::Result<bool> {
        let crds = Api::<CustomResourceDefinition>::all(self.client.clone());
        let crd = crds.get_opt(&format!("{plural}.{}", suigen_crds::GROUP)).await?;
        Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
    }

    /// Publishes what is to be said about an object, and waits for none of it:
    /// a slow event would hold up the next look. Loss is counted, not retried,
    /// because conditions say the same.
    pub fn announce(&self, about: ObjectReference, said: Vec<Announcement>) {
        if said.is_empty() {
            return;
        }
        let (recorder, metrics) = (self.recorder.clone(), self.metrics.clone());
        self.errands.spawn(async move {
            for announcement in said {
                if let Err(error) = recorder.publish(&announcement.event(), &about).await {
                    metrics.events_lost.inc();
                    tracing::debug!(%error, reason = announcement.reason, "publish an event");
                }
            }
        });
    }

    /// Says on an object that cannot be read that it cannot be read.
    pub fn report_unreadable(
        self: &Arc<Self>,
        kind: &'static str,
        raw: DynamicObject,
        why: String,
    ) {
        let ctx = self.clone();
        self.errands.spawn(async move { events::unreadable(&ctx, kind, &raw, &why).await });
    }
}
