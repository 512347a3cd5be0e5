//! What is known of the kernel between reconciles.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Error, Report};
use crate::network::apply::{self, Kernel, Live, Subject};
use crate::network::cache::{Cache, Dirty};
use crate::network::desired::Desired;
use crate::network::diff::{self, Op, Plan};
use crate::network::nft::Reading;
use crate::network::observe::{self, Observed, ObservedRules};
use crate::network::rules::Elements;
use crate::network::scope::Scope;
use crate::network::topology::Topology;
use crate::network::watch::Watch;

/// How often everything is read anew, though nothing was lost.
pub(super) const RESYNC: Duration = Duration::from_secs(300);

/// What the kernel holds, and what of it is to be looked at.
#[derive(Debug)]
pub(super) struct State {
    watch: Arc<Watch>,
    cache: Cache,
    /// When the cache was read whole; never before the first time.
    read: Option<Instant>,
    full_reads: u64,
    rules: Rules,
    dirty: Dirty,
    desired: Option<Desired>,
}

/// The rules as they were read, or as we set them.
#[derive(Debug, Default)]
struct Rules {
    state: ObservedRules,
    elements: Elements,
    /// The generation that this is about; unknown after a change that may
    /// not have been ours alone.
    generation: Option<u32>,
}

impl State {
    pub fn new(watch: Arc<Watch>) -> Self {
        Self {
            watch,
            cache: Cache::default(),
            read: None,
            full_reads: 0,
            rules: Rules::default(),
            dirty: Dirty::default(),
            desired: None,
        }
    }

    /// Whether something is to be looked at without being told.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Brings the kernel to what is desired: looks at what changed there or
    /// is desired otherwise, and at nothing else.
    pub async fn reconcile(
        &mut self,
        kernel: &Kernel,
        intact: &Reading,
        desired: &Desired,
    ) -> Result<Report, Error> {
        self.catch_up(kernel, intact).await?;
        let scope = Scope::of(&self.dirty, &self.cache, self.desired.as_ref(), desired);
        self.desired = Some(desired.clone());
        // Lost again while everything was read: the next time it is read anew.
        self.dirty = Dirty { lost: self.dirty.lost, ..Dirty::default() };
        if scope.is_empty() {
            return Ok(self.report(Plan::default(), Vec::new()));
        }
        let wanted = scope.wanted(desired);
        let plan = diff::plan(&self.observed(&scope), &wanted);
        let mut live = Live { cache: &mut self.cache, dirty: &mut self.dirty, watch: &self.watch };
        let applied = apply::apply(kernel, &plan.ops, &mut live).await;
        let failures = match applied {
            Ok(failures) => failures,
            Err(error) => {
                self.dirty.lost = true;
                return Err(error.into());
            }
        };
        let refused = failures.iter().any(|failure| failure.subject == Subject::Rules);
        if !refused && plan.ops.iter().any(|op| matches!(op, Op::Rules { .. })) {
            self.rules_set(kernel, &scope, &wanted);
        }
        if !failures.is_empty() || !plan.foreign.is_empty() {
            self.keep_in_sight(&scope, &wanted);
        }
        Ok(self.report(plan, failures))
    }

    fn report(&self, plan: Plan, failures: Vec<apply::Failure>) -> Report {
        let Plan { ops, foreign } = plan;
        let (indices, full_reads) = (Arc::clone(self.cache.indices()), self.full_reads);
        Report { ops, foreign, failures, indices, full_reads }
    }

    fn observed(&self, scope: &Scope) -> Observed {
        scope.observed(&self.cache, self.rules.state, &self.rules.elements)
    }

    /// What is known of everything.
    pub async fn known(&mut self, kernel: &Kernel, intact: &Reading) -> Result<Observed, Error> {
        self.catch_up(kernel, intact).await?;
        Ok(self.observed(&Scope::Everything))
    }

    /// What could not be done stays dirty, so that every report tells of it
    /// until it is done.
    fn keep_in_sight(&mut self, scope: &Scope, wanted: &Topology) {
        let Dirty { vnis, links, everything, lost: _ } =
            scope.left_by(&diff::plan(&self.observed(scope), wanted));
        self.dirty.vnis.extend(vnis);
        self.dirty.links.extend(links);
        self.dirty.everything |= everything;
    }

    /// Learns what changed since the last time.
    async fn catch_up(&mut self, kernel: &Kernel, intact: &Reading) -> Result<(), Error> {
        let mut live = Live { cache: &mut self.cache, dirty: &mut self.dirty, watch: &self.watch };
        live.refresh()?;
        let fresh = self.read.is_some_and(|read| read.elapsed() < RESYNC);
        if self.dirty.lost || !fresh {
            self.read_anew(kernel).await?;
        }
        let generation = kernel.generations.now().map_err(observe::Error::Generation)?;
        if self.rules.generation != Some(generation) {
            let (state, elements) = observe::rules(&kernel.namespace, &kernel.nft, intact).await?;
            // Known only if nothing changed while it was listed.
            let after = kernel.generations.now().map_err(observe::Error::Generation)?;
            let generation = (after == generation).then_some(generation);
            self.rules = Rules { state, elements, generation };
            self.dirty.everything = true;
        }
        Ok(())
    }

    async fn read_anew(&mut self, kernel: &Kernel) -> Result<(), Error> {
        let read = observe::dump(&kernel.listing).await?;
        let known = self.read.is_some() && !self.dirty.lost;
        self.dirty = Dirty { everything: true, ..Dirty::default() };
        let before = std::mem::replace(&mut self.cache, read);
        let mut live = Live { cache: &mut self.cache, dirty: &mut self.dirty, watch: &self.watch };
        // What changed while it was listed was told as well.
        live.refresh()?;
        self.read = Some(Instant::now());
        self.full_reads += 1;
        if known && before != self.cache {
            tracing::warn!("the kernel holds something that it did not tell of");
        }
        Ok(())
    }

    /// Our own change of the rules is the only one if the generation is the
    /// next one.
    fn rules_set(&mut self, kernel: &Kernel, scope: &Scope, wanted: &Topology) {
        let before = self.rules.generation.take();
        let now = kernel.generations.now().ok();
        let Some(generation) = now.filter(|now| before.map(next) == Some(*now)) else {
            self.dirty.everything = true;
            return;
        };
        let gone = self.observed(scope).topology.elements;
        self.rules.elements.exchange(&gone, &wanted.elements);
        self.rules.state = ObservedRules::Intact;
        self.rules.generation = Some(generation);
    }
}

/// The kernel leaves zero out.
const fn next(generation: u32) -> u32 {
    match generation.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}
