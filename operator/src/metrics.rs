//! Counters and gauges of the operator. No label names an object.

use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A kind and what happened to an object of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindAnd {
    kind: &'static str,
    what: &'static str,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

/// A counter by kind and something.
pub type ByKind = Family<KindAnd, Counter>;

/// Every metric of the operator.
pub struct Metrics {
    registry: Registry,
    /// Reconciles by kind and outcome.
    pub reconciles: ByKind,
    /// Failed reconciles by kind and reason.
    pub failures: ByKind,
    /// Writes to the API server by kind and part.
    pub writes: ByKind,
    /// Objects that could not be read, by kind.
    pub unreadable: ByKind,
    /// Breaks of a watch, by kind.
    pub watch_errors: ByKind,
    /// Run rights given out.
    pub placements: Counter,
    /// Placements that found no hypervisor.
    pub no_room: Counter,
    /// Looks at a network that found no free VNI.
    pub vni_range_exhausted: Counter,
    /// VNIs that another network took first.
    pub vni_races: Counter,
    /// What was left over and taken away, by kind and why.
    pub swept: ByKind,
    /// Segments whose release waits for a hypervisor or a port, after the time
    /// that every release takes.
    pub releases_held_up: Gauge,
    /// Status writes that were put off because they say only that work goes on.
    pub deferred: Counter,
    /// Events that could not be published.
    pub events_lost: Counter,
    /// 1 while this replica leads.
    pub leader: Gauge,
    /// Requests to the node and console API by what came of them.
    pub api_requests: Family<Reason, Counter>,
    /// Console sessions that are open.
    pub consoles: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("suigen_operator"),
            reconciles: Family::default(),
            failures: Family::default(),
            writes: Family::default(),
            unreadable: Family::default(),
            watch_errors: Family::default(),
            placements: Counter::default(),
            no_room: Counter::default(),
            vni_range_exhausted: Counter::default(),
            vni_races: Counter::default(),
            swept: Family::default(),
            releases_held_up: Gauge::default(),
            deferred: Counter::default(),
            events_lost: Counter::default(),
            leader: Gauge::default(),
            api_requests: Family::default(),
            consoles: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("reconciles", "Reconciles by kind and outcome", self.reconciles.clone());
        r.register("failures", "Failed reconciles by kind and reason", self.failures.clone());
        r.register("writes", "Writes to the API server by kind and part", self.writes.clone());
        r.register("unreadable", "Objects that could not be read", self.unreadable.clone());
        r.register("watch_errors", "Breaks of a watch by kind", self.watch_errors.clone());
        r.register("placements", "Run rights given out", self.placements.clone());
        r.register("no_room", "Placements that found no hypervisor", self.no_room.clone());
        r.register(
            "vni_range_exhausted",
            "Looks at a network that found no free VNI",
            self.vni_range_exhausted.clone(),
        );
        r.register("vni_races", "VNIs that another network took first", self.vni_races.clone());
        r.register("swept", "Left-over objects by kind and why", self.swept.clone());
        r.register(
            "releases_held_up",
            "Released segments that wait for a hypervisor or a port",
            self.releases_held_up.clone(),
        );
        r.register("deferred", "Status writes put off", self.deferred.clone());
        r.register("events_lost", "Events not published", self.events_lost.clone());
        r.register("leader", "1 while this replica leads", self.leader.clone());
        r.register(
            "api_requests",
            "Requests to the node and console API",
            self.api_requests.clone(),
        );
        r.register("consoles", "Console sessions that are open", self.consoles.clone());
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When the text cannot be written, which a `String` never refuses.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts one request to the node and console API.
    pub fn count_request(&self, reason: &'static str) {
        self.api_requests.get_or_create(&Reason { reason }).inc();
    }
}

/// Counts one occurrence.
pub fn count(family: &ByKind, kind: &'static str, what: &'static str) {
    family.get_or_create(&KindAnd { kind, what }).inc();
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn sources(dir: &Path, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.file_name().is_some_and(|name| name != "metrics.rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_metric_is_set_somewhere() {
        let own = include_str!("metrics.rs");
        let body = own.split("pub struct Metrics {").nth(1).unwrap().split("\n}").next().unwrap();
        let names: Vec<_> = body
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub "))
            .filter_map(|line| line.split(':').next())
            .collect();
        assert!(names.len() > 5, "{names:?}");
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        for name in names {
            let used = text.contains(&format!("metrics.{name}"))
                || (name == "api_requests" && text.contains("metrics.count_request("));
            assert!(used, "{name} is never set");
        }
    }

    #[test]
    fn the_text_names_kind_and_outcome() {
        let metrics = super::Metrics::default();
        super::count(&metrics.reconciles, "VirtualServer", "done");
        let text = metrics.render().unwrap();
        assert!(
            text.contains(
                "suigen_operator_reconciles_total{kind=\"VirtualServer\",what=\"done\"} 1"
            )
        );
    }
}
