//! Watches. An event wakes; what is done is decided after a quorum read.

use std::fmt::Debug;

use futures::StreamExt;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::read::static_kind;
use crate::metrics::Kind;

/// What a watch saw.
#[derive(Debug)]
pub enum Seen<K> {
    /// An object that matches, as it is now.
    Object(Box<K>),
    /// An object that matches and cannot be read.
    Malformed {
        /// Its UID.
        uid: Option<String>,
    },
    /// An object that no longer matches, or no longer exists.
    Left {
        /// Its UID.
        uid: Option<String>,
    },
    /// The watch begins to list everything, at its start or after it broke.
    Listing,
    /// The watch has listed everything, at its start or after it broke: what it
    /// did not name may have left meanwhile.
    Listed,
}

impl Api {
    /// Watches what matches `fields`, or everything where they are empty, in all
    /// namespaces until `stop`. `seen` is called in order and must be quick.
    pub async fn watch<K>(
        &self,
        fields: &str,
        stop: CancellationToken,
        mut seen: impl FnMut(Seen<K>),
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let config = watcher::Config::default().fields(fields);
        self.watch_api(self.cluster(), config, stop, &mut seen).await;
    }

    /// The same for everything of one namespace.
    pub async fn watch_namespace<K>(
        &self,
        namespace: &str,
        stop: CancellationToken,
        mut seen: impl FnMut(Seen<K>),
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api = self.namespaced(namespace);
        self.watch_api(api, watcher::Config::default(), stop, &mut seen).await;
    }

    async fn watch_api<K>(
        &self,
        api: kube::Api<DeserializeGuard<K>>,
        config: watcher::Config,
        stop: CancellationToken,
        seen: &mut impl FnMut(Seen<K>),
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let kind = static_kind(&K::kind(&()));
        let events = watcher(api, config).default_backoff();
        let mut events = std::pin::pin!(events.take_until(stop.cancelled_owned()));
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    seen(self.readable(kind, object));
                }
                Ok(watcher::Event::Delete(object)) => seen(Seen::Left { uid: object.uid() }),
                Ok(watcher::Event::InitDone) => seen(Seen::Listed),
                Ok(watcher::Event::Init) => seen(Seen::Listing),
                Err(error) => {
                    self.metrics.watch_errors.get_or_create(&Kind { kind }).inc();
                    tracing::debug!(kind, %error, "watch broke");
                }
            }
        }
    }

    fn readable<K: Resource<DynamicType = ()>>(
        &self,
        kind: &'static str,
        DeserializeGuard(object): DeserializeGuard<K>,
    ) -> Seen<K> {
        match object {
            Ok(object) => Seen::Object(Box::new(object)),
            Err(invalid) => {
                self.metrics.malformed_objects.get_or_create(&Kind { kind }).inc();
                let (namespace, name) = (&invalid.metadata.namespace, &invalid.metadata.name);
                tracing::warn!(kind, ?namespace, ?name, error = %invalid.error, "object cannot be read");
                Seen::Malformed { uid: invalid.metadata.uid }
            }
        }
    }
}
