//! One watch: from the API server into a store.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::unreadable::{Entry, node_of};
use crate::chain::Chain;
use crate::context::Context;
use crate::metrics::count;

/// What changed in a store.
#[derive(Debug)]
pub enum Change<K> {
    /// An object is new or other than before.
    Applied(Arc<K>),
    /// An object is gone, or cannot be read any more.
    Gone(Arc<K>),
    /// Everything was listed anew.
    Listed,
}

/// Kinds that take room of a node, so that one that cannot be read makes the
/// node's room unknown.
const TAKES_ROOM: [&str; 2] = ["VirtualServer", "Disk"];

/// A watch of one kind.
#[derive(Debug)]
pub struct Feed<K: Resource<DynamicType = ()> + Clone + 'static>
where
    K::DynamicType: Eq + Hash,
{
    /// The kind's name, for logs and metrics.
    pub kind: &'static str,
    /// Which objects; all namespaces or one.
    pub api: Api<DynamicObject>,
    /// The store's writing end.
    pub writer: Writer<K>,
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// A watch of every object of the kind, in one namespace if named.
    pub fn new(
        kind: &'static str,
        client: &kube::Client,
        namespace: Option<&str>,
        writer: Writer<K>,
    ) -> Self {
        let resource = ApiResource::erase::<K>(&());
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        Self { kind, api, writer }
    }

    /// Watches until told to stop; breaks of the watch are retried for ever.
    pub async fn run(
        mut self,
        ctx: Arc<Context>,
        stop: CancellationToken,
        wake: impl Fn(&Context, Change<K>),
    ) {
        let events = watcher(self.api.clone(), watcher::Config::default())
            .default_backoff()
            .take_until(stop.cancelled_owned());
        pin_mut!(events);
        let mut listed_unreadable = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if let Some(change) = self.absorb(event, &ctx, &mut listed_unreadable) {
                        wake(&ctx, change);
                    }
                }
                Err(error) => {
                    count(&ctx.metrics.watch_errors, self.kind, reason_of(&error));
                    tracing::warn!(kind = self.kind, error = %Chain(&error), "watch");
                }
            }
        }
    }

    fn absorb(
        &mut self,
        event: watcher::Event<DynamicObject>,
        ctx: &Arc<Context>,
        listed_unreadable: &mut Vec<(String, String)>,
    ) -> Option<Change<K>> {
        let (event, change) = match event {
            watcher::Event::Init => {
                listed_unreadable.clear();
                (watcher::Event::Init, None)
            }
            watcher::Event::InitApply(raw) => {
                let place = place(&raw);
                match self.read(raw, ctx) {
                    Some(object) => (watcher::Event::InitApply(object), None),
                    None => {
                        listed_unreadable.push(place);
                        return None;
                    }
                }
            }
            watcher::Event::InitDone => {
                ctx.unreadable.keep_only(self.kind, listed_unreadable);
                (watcher::Event::InitDone, Some(Change::Listed))
            }
            watcher::Event::Apply(raw) => {
                let place = place(&raw);
                match self.read(raw, ctx) {
                    Some(object) => {
                        ctx.unreadable.forget(self.kind, &place.0, &place.1);
                        let change = Change::Applied(Arc::new(object.clone()));
                        (watcher::Event::Apply(object), Some(change))
                    }
                    None => self.vanish(&place)?,
                }
            }
            watcher::Event::Delete(raw) => {
                let place = place(&raw);
                ctx.unreadable.forget(self.kind, &place.0, &place.1);
                self.vanish(&place)?
            }
        };
        self.writer.apply_watcher_event(&event);
        change
    }

    /// Takes an object out of the store, as it was known last.
    fn vanish(
        &self,
        (namespace, name): &(String, String),
    ) -> Option<(watcher::Event<K>, Option<Change<K>>)> {
        let mut reference = ObjectRef::<K>::new(name);
        if !namespace.is_empty() {
            reference = reference.within(namespace);
        }
        let last = self.writer.as_reader().get(&reference)?;
        Some((watcher::Event::Delete((*last).clone()), Some(Change::Gone(last))))
    }

    fn read(&self, raw: DynamicObject, ctx: &Arc<Context>) -> Option<K> {
        let (namespace, name) = place(&raw);
        let value = serde_json::to_value(&raw).ok()?;
        match K::deserialize(&value) {
            Ok(mut object) => {
                object.managed_fields_mut().clear();
                Some(object)
            }
            Err(error) => {
                let node = TAKES_ROOM.contains(&self.kind).then(|| node_of(&value)).flatten();
                let entry = Entry { error: error.to_string(), node };
                if ctx.unreadable.note(self.kind, &namespace, &name, &entry) {
                    count(&ctx.metrics.unreadable, self.kind, "unreadable");
                    tracing::error!(kind = self.kind, %namespace, %name, %error, "object cannot be read");
                    ctx.report_unreadable(self.kind, raw, error.to_string());
                }
                None
            }
        }
    }
}

fn place(object: &DynamicObject) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn reason_of(error: &watcher::Error) -> &'static str {
    match error {
        watcher::Error::InitialListFailed(_) => "ListFailed",
        watcher::Error::WatchStartFailed(_) => "WatchStartFailed",
        watcher::Error::WatchError(_) => "WatchExpired",
        watcher::Error::WatchFailed(_) => "WatchFailed",
        watcher::Error::NoResourceVersion => "NoResourceVersion",
    }
}
