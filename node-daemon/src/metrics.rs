//! Counters: every way to fail has one, none has an object's name as a label.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A counter by what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// The word that conditions and events use too.
    pub reason: &'static str,
}

/// A counter by the kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// The kind, as the API spells it.
    pub kind: &'static str,
}

/// A counter by step of a server's life.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepOutcome {
    /// The step.
    pub step: &'static str,
    /// `Done`, or why it failed.
    pub outcome: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $name:literal;)+) => {
        /// All metrics of the daemon.
        #[derive(Debug, Default, Clone)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Metrics {
            /// Registers all of them.
            pub fn register(&self, registry: &mut Registry) {
                $(registry.register($name, concat!($($doc),+), self.$field.clone());)+
            }
        }

        #[cfg(test)]
        const FIELDS: &[&str] = &[$(stringify!($field)),+];
    };
}

metrics! {
    /// Steps of servers, by outcome
    steps: Family<StepOutcome, Counter> = "suigen_node_steps";
    /// Reads of the API that failed, by reason
    api_read_errors: Family<Reason, Counter> = "suigen_node_api_read_errors";
    /// Writes to the API that failed, by reason
    api_write_errors: Family<Reason, Counter> = "suigen_node_api_write_errors";
    /// Writes to the API that succeeded, by kind
    api_writes: Family<Kind, Counter> = "suigen_node_api_writes";
    /// Watches that broke and were begun again, by kind
    watch_errors: Family<Kind, Counter> = "suigen_node_watch_errors";
    /// Objects in the store that this version cannot read, by kind
    malformed_objects: Family<Kind, Counter> = "suigen_node_malformed_objects";
    /// Processes of servers that ended, by how
    qemu_exits: Family<Reason, Counter> = "suigen_node_qemu_exits";
    /// Placements that were declined, by reason
    refusals: Family<Reason, Counter> = "suigen_node_refusals";
    /// Failures of run-right logs, by reason
    log_errors: Family<Reason, Counter> = "suigen_node_log_errors";
    /// Volumes that could not be made or erased, by reason
    volume_errors: Family<Reason, Counter> = "suigen_node_volume_errors";
    /// Times that a QEMU fell silent
    qmp_silences: Counter = "suigen_node_qmp_silences";
    /// Console connections, by outcome
    console_sessions: Family<Reason, Counter> = "suigen_node_console_sessions";
    /// Failed attempts to get or renew the node's certificate, by reason
    certificate_errors: Family<Reason, Counter> = "suigen_node_certificate_errors";
    /// Networks or ports that are left out because they contradict each other, by reason
    network_refusals: Family<Reason, Counter> = "suigen_node_network_refusals";
    /// Failures of the tenants' data plane, by reason
    network_errors: Family<Reason, Counter> = "suigen_node_network_errors";
    /// Operations that put right what others changed in the tenants' data plane
    network_repairs: Counter = "suigen_node_network_repairs";
    /// Tenants' networks that this node does not host any more
    network_teardowns: Counter = "suigen_node_network_teardowns";
    /// Tenants' networks that this node hosts
    networks: Gauge<i64, AtomicI64> = "suigen_node_networks";
    /// Interfaces of servers on this node
    network_ports: Gauge<i64, AtomicI64> = "suigen_node_network_ports";
    /// Servers whose run right this node holds
    servers: Gauge<i64, AtomicI64> = "suigen_node_servers";
    /// Guests that run without an object that says so
    orphans: Gauge<i64, AtomicI64> = "suigen_node_orphans";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A metric that nothing touches would say that all is well for ever.
    #[test]
    fn every_metric_is_touched_somewhere() {
        let mut sources = String::new();
        collect(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut sources);
        for field in FIELDS {
            assert!(sources.contains(&format!("metrics.{field}")), "{field} is never touched");
        }
    }

    fn collect(dir: &std::path::Path, into: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if !path.ends_with("metrics.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                into.push_str(&text.split_whitespace().collect::<String>());
            }
        }
    }

    #[test]
    fn names_are_rendered() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.qemu_exits.get_or_create(&Reason { reason: "Failed" }).inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("suigen_node_qemu_exits_total{reason=\"Failed\"} 1"), "{text}");
    }
}
