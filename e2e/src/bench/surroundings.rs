//! What the benchmarks stand on: the lab with Suigen in it, and no server.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::artifact::cache::Cache;
use crate::artifact::set::{Platform, SuigenImages};
use crate::cluster::Cluster;
use crate::lab::{self, Lab};
use crate::setup::{self, Tiny};

/// A lab that is ready to be measured.
#[derive(Debug)]
pub struct Surroundings {
    /// The lab's cluster.
    pub cluster: Cluster,
    /// How long each part of bringing it up took, in seconds.
    pub spans: Vec<(String, f64)>,
}

/// Brings everything up and takes the time of it; `fresh` removes the lab first.
pub fn ready(cache: &Cache, tiny: &Tiny, fresh: bool) -> Result<Surroundings> {
    let mut spans = Spans::default();
    let dir = Lab::default_dir(cache.root());
    if fresh {
        spans.take("remove the lab that was there", || lab::down::down(&dir).map(|_| ()))?;
    }
    let was_up = Lab::find(&dir)?.is_some();
    let platform = spans.take("find everything built in the cache", || Platform::ensure(cache))?;
    let what = if was_up { "find the lab up" } else { "start the lab: control plane and nodes" };
    let cluster = spans.take(what, || setup::cluster_up(cache, &platform))?;
    let images =
        spans.take("build Suigen's images where it changed", || SuigenImages::ensure(cache))?;
    spans.take("install with Helm until every hypervisor is ready", || {
        setup::install_suigen(&cluster, &images)
    })?;
    spans.take("apply the catalogue", || setup::catalogue(&cluster, tiny))?;
    let servers =
        cluster.kubectl(&["get", "virtualservers", "--all-namespaces", "--output=name"])?;
    ensure!(
        servers.is_empty(),
        "the lab holds servers, which would be measured too; delete them \
         (of a run that was broken off: kubectl delete namespace bench)"
    );
    Ok(Surroundings { cluster, spans: spans.0 })
}

#[derive(Default)]
struct Spans(Vec<(String, f64)>);

impl Spans {
    fn take<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work().with_context(|| what.to_owned())?;
        self.0.push((what.to_owned(), started.elapsed().as_secs_f64()));
        Ok(result)
    }
}
