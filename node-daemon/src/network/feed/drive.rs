//! Puts the parts together: from inputs to the data plane, the tasks of
//! servers and what is asked of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use suigen_crds::ident::{NodeName, Uid};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::age::Here;
use super::compose::compose;
use super::facts::{Facts, Hosting};
use super::handle::{Served, Standing, TenantNetworks};
use super::judge::{self, Judged, View};
use super::open::{Opened, Opener};
use super::running::Running;
use super::state::Feed;
use super::{Ability, Asks, Input, store};
use crate::metrics::{Metrics, Reason};
use crate::network::desired::{Desired, Refusal, Underlay};
use crate::network::{DataPlane, apply, dataplane};
use crate::report::runtime::{Trouble, explain};

/// Changes come in groups; they are looked at together.
const TOGETHER: Duration = Duration::from_millis(50);
/// How often it is looked whether a process ended that a port waits for.
const PROCESSES: Duration = Duration::from_secs(2);
/// For how long trouble lasts before it is said in the API: what heals at the
/// next attempt is not worth two writes.
const TROUBLE: Duration = Duration::from_secs(5);
/// When to look at the latest, whatever else is waited for.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Tells which servers have a process on this node; none where it cannot.
pub type Residents = Arc<dyn Fn() -> Option<BTreeSet<Uid>> + Send + Sync>;

/// Where and for whom networks are hosted.
#[derive(Clone)]
pub struct Config {
    /// This node.
    pub node: NodeName,
    /// The address that tunnels start from and end at.
    pub address: IpAddr,
    /// The UDP port of VXLAN.
    pub port: u16,
    /// Where the data plane lives.
    pub plane: dataplane::Config,
    /// The file that keeps the facts.
    pub kept: PathBuf,
    /// Who lives here.
    pub residents: Residents,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What it is connected to.
#[derive(Debug)]
pub struct Wires {
    /// What is heard from the API.
    pub inputs: mpsc::UnboundedReceiver<Input>,
    /// What is asked of it.
    pub asks: watch::Sender<Asks>,
    /// Whether this node can host networks; nothing until it was tried.
    pub ability: watch::Sender<Option<Ability>>,
    /// What the tasks of servers see.
    pub networks: TenantNetworks,
    /// The counters.
    pub metrics: Metrics,
}

/// Hosts networks until `stop`. What was set up stays. Called in the node's
/// own network namespace.
pub async fn drive(config: Config, wires: Wires, stop: CancellationToken) {
    let mut driver = Driver::new(config, wires, stop);
    loop {
        let next = driver.step().await;
        if !driver.wait(next).await {
            break;
        }
    }
    if let Some(running) = driver.running {
        running.join().await;
    }
}

struct Driver {
    config: Config,
    wires: Wires,
    stop: CancellationToken,
    feed: Feed,
    /// Whether what is known is enough to act on.
    informed: bool,
    opener: Opener,
    running: Option<Running>,
    refusals: Vec<Refusal>,
    kept: Option<Facts>,
    troubled: BTreeMap<Uid, Instant>,
}

impl Driver {
    fn new(config: Config, wires: Wires, stop: CancellationToken) -> Self {
        let kept = store::load(&config.kept).unwrap_or_else(|error| {
            tracing::warn!(reason = error.reason(), error = %explain(&error), "kept networks not read");
            None
        });
        Self {
            feed: Feed::new(config.node.clone(), kept.clone().unwrap_or_default()),
            informed: kept.is_some(),
            opener: Opener::new(config.clone()),
            config,
            wires,
            stop,
            running: None,
            refusals: Vec::new(),
            kept,
            troubled: BTreeMap::new(),
        }
    }

    /// Brings everything up to date; when to do so again at the latest.
    async fn step(&mut self) -> Instant {
        let ability = self.opener.open().await;
        self.wires.ability.send_if_modified(|present| {
            let differs = *present != ability;
            if differs {
                *present = ability;
            }
            differs
        });
        let here = self.look().await;
        self.feed.facts.age(&here);
        self.feed.keep_to(&self.feed.facts.namespaces(&here.node));
        self.informed |= self.feed.is_complete();
        let opened = self.opener.opened().clone();
        if let (true, Ok(opened)) = (self.informed, &opened) {
            self.supply(opened, &here).await;
        }
        let view = self.view(&opened);
        let judged = judge::judge(&self.feed.facts, &here, &self.refusals, &view);
        let plane = opened.map(|Opened { plane, .. }| plane);
        self.serve(plane, &judged);
        let settled = self.settle(judged);
        let asks = self.feed.asks(&settled, &view);
        self.wires.asks.send_if_modified(|present| {
            let differs = *present != asks;
            if differs {
                *present = asks;
            }
            differs
        });
        if let Some(running) = self.running.as_ref().filter(|_| self.feed.wants_certainty()) {
            running.make_certain();
        }
        self.next(here.now)
    }

    async fn look(&self) -> Here {
        let node = self.config.node.clone();
        let residents = if self.feed.facts.waits_for_processes(&node) {
            let residents = self.config.residents.clone();
            let looked = tokio::task::spawn_blocking(move || residents()).await;
            let starting = self.wires.networks.occupied();
            looked.ok().flatten().map(|found| found.into_iter().chain(starting).collect())
        } else {
            None
        };
        Here { node, residents, releasing: self.feed.releasing(), now: Timestamp::now() }
    }

    /// Keeps the facts, then feeds the data plane: what is set up is known
    /// after a crash.
    async fn supply(&mut self, opened: &Opened, here: &Here) {
        let Opened { plane, underlay } = opened;
        let facts = &mut self.feed.facts;
        let hosts = facts.networks.values().any(|network| network.hosting != Hosting::No);
        let before = if hosts { facts.underlay_mtu } else { 0 };
        facts.underlay_mtu = before.max(underlay.mtu);
        let underlay = Underlay { mtu: facts.underlay_mtu, ..*underlay };
        let (desired, refusals) = Desired::admit(underlay, compose(facts, here));
        for refusal in refusals.iter().filter(|refusal| !self.refusals.contains(refusal)) {
            tracing::warn!(reason = refusal.reason(), %refusal, "left out");
            let reason = Reason { reason: refusal.reason() };
            self.wires.metrics.network_refusals.get_or_create(&reason).inc();
        }
        self.refusals = refusals;
        self.keep().await;
        self.count(&desired);
        match &mut self.running {
            Some(running) => running.feed(&desired),
            None => {
                self.running = Some(Running::start(plane.clone(), desired, self.stop.clone()));
            }
        }
    }

    async fn keep(&mut self) {
        let facts = self.feed.facts.worth_keeping(&self.config.node);
        if self.kept.as_ref() == Some(&facts) {
            return;
        }
        let (path, written) = (self.config.kept.clone(), facts.clone());
        let saved = tokio::task::spawn_blocking(move || store::save(&path, &written)).await;
        match saved {
            Ok(Ok(())) => self.kept = Some(facts),
            Ok(Err(error)) => {
                tracing::warn!(reason = error.reason(), error = %explain(&error), "networks not kept");
                self.count_error(error.reason());
            }
            // The runtime is being shut down.
            Err(_) => {}
        }
    }

    fn count(&self, desired: &Desired) {
        let metrics = &self.wires.metrics;
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.networks.set(gauge(desired.networks().count()));
        metrics.network_ports.set(gauge(desired.ports().count()));
        if let Some(running) = &self.running {
            let fed = running.fed();
            let stays: BTreeSet<_> = desired.networks().map(|network| network.vni).collect();
            let gone = fed.networks().filter(|network| !stays.contains(&network.vni)).count();
            metrics.network_teardowns.inc_by(u64::try_from(gone).unwrap_or(u64::MAX));
        }
    }

    fn count_error(&self, reason: &'static str) {
        self.wires.metrics.network_errors.get_or_create(&Reason { reason }).inc();
    }

    fn view(&self, opened: &Result<Opened, Trouble>) -> View {
        match (opened, &self.running) {
            (Err(trouble), _) => {
                View { faults: vec![(apply::Subject::Rules, trouble.clone())], ..View::default() }
            }
            (Ok(_), Some(running)) => running.view().clone(),
            (Ok(_), None) => View::default(),
        }
    }

    fn serve(&self, plane: Result<DataPlane, Trouble>, judged: &BTreeMap<Uid, Judged>) {
        let ports = judge::bound(&self.feed.facts, judged);
        self.wires.networks.serve(Served { plane, ports });
    }

    /// What is certain enough to be said in the API.
    fn settle(&mut self, mut judged: BTreeMap<Uid, Judged>) -> BTreeMap<Uid, Judged> {
        let now = Instant::now();
        self.troubled.retain(|uid, _| judged.get(uid).is_some_and(|port| port.trouble.is_some()));
        judged.retain(|uid, port| match port.trouble {
            Some(_) => *self.troubled.entry(uid.clone()).or_insert(now) + TROUBLE <= now,
            None => port.standing != Standing::Pending,
        });
        judged
    }

    fn next(&self, now: Timestamp) -> Instant {
        let from_now = |end: Timestamp| {
            let wait = end.duration_since(now).max(jiff::SignedDuration::ZERO);
            Instant::now() + wait.unsigned_abs()
        };
        let processes = self.feed.facts.waits_for_processes(&self.config.node);
        let young = self.troubled.values().map(|since| *since + TROUBLE);
        let young = young.filter(|at| *at > Instant::now()).min();
        let moments = [
            Some(Instant::now() + LOOK_AGAIN),
            self.feed.facts.next_end().map(from_now),
            processes.then(|| Instant::now() + PROCESSES),
            young,
            Some(self.opener.next()),
        ];
        moments.into_iter().flatten().min().unwrap_or_else(Instant::now)
    }

    /// Waits for something to do; false when it is to end.
    async fn wait(&mut self, next: Instant) -> bool {
        let Self { wires, running, stop, .. } = self;
        let heard = async {
            match running {
                Some(running) => running.hear().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep_until(next) => {}
            () = wires.networks.someone_left() => {}
            input = wires.inputs.recv() => match input {
                Some(input) => self.take(input).await,
                // Whoever told us is gone, which happens at the end only.
                None => stop.cancelled().await,
            },
            heard = heard => match heard {
                Ok(heard) => {
                    wires.metrics.network_repairs.inc_by(heard.repairs);
                    for reason in heard.errors {
                        self.count_error(reason);
                    }
                }
                Err(trouble) => {
                    self.running = None;
                    self.opener.lose(trouble);
                }
            },
        }
        true
    }

    async fn take(&mut self, input: Input) {
        self.feed.take(input);
        tokio::time::sleep(TOGETHER).await;
        while let Ok(input) = self.wires.inputs.try_recv() {
            self.feed.take(input);
        }
    }
}
