//! What each validation of each policy refuses, and the twin that it admits.

use serde_json::{Value, json};
use suigen_e2e::cluster::install::NAMESPACE;

use crate::api::{Kind, Who, Write};
use crate::fixtures::base;

/// An attempt that a validation refuses, and its twin that is admitted.
pub struct Row<'a> {
    pub policy: &'static str,
    pub says: &'static str,
    pub refused: (Who<'a>, &'static str, Write),
    pub admitted: (Who<'a>, &'static str, Write),
}

/// `says` is what `who` hears of `what`; `twin_who` is admitted with `twin`.
fn row<'a>(
    policy: &'static str,
    says: &'static str,
    (who, what): (Who<'a>, Try),
    (twin_who, twin): (Who<'a>, Try),
) -> Row<'a> {
    Row { policy, says, refused: (who, what.0, what.1), admitted: (twin_who, twin.0, twin.1) }
}

/// A kind, and what is tried on one of its objects.
pub type Try = (&'static str, Write);

/// The stored objects: one server, one disk and one port here, a server that is
/// placed nowhere, the hypervisor that is `here`, and two segments.
pub struct Names {
    pub here: String,
    pub there: String,
    pub placed: String,
    pub unplaced: String,
    pub acknowledged: String,
    pub port: String,
    pub released: String,
    pub in_use: String,
}

/// The kind of that name, of Suigen or of Kubernetes.
pub fn kind_of(kind: &str) -> Kind {
    match kind {
        "Lease" => Kind::of_kubernetes("coordination.k8s.io", kind, true).only_in(NAMESPACE),
        "CustomResourceDefinition" => Kind::of_kubernetes("apiextensions.k8s.io", kind, false),
        _ => Kind::of_suigen(kind),
    }
}

/// What a daemon says of a server.
pub fn runtime(node: &str) -> Value {
    json!({"nodeName": node, "epoch": 1, "state": "Stopped"})
}

/// A write of an object's status.
pub fn status(name: &str, status: Value) -> Write {
    Write::PatchStatus(name.to_owned(), json!({"status": status}))
}

fn lease(name: &str) -> Write {
    let kind = kind_of("Lease");
    Write::Create(kind.object(name, json!({"spec": {"holderIdentity": "admit"}})))
}

/// Every validation of every policy.
#[rustfmt::skip]
pub fn rows(names: &Names) -> Vec<Row<'_>> {
    let (here, there) = (Who::Daemon(&names.here), Who::Daemon(&names.there));
    let volume = |node: &str| json!({"volume": {"nodeName": node, "state": "Ready"}});
    let ready = |type_: &str| {
        json!({"conditions": [{"type": type_, "status": "True", "reason": "Admit", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    };
    let hypervisor = |name: &str| Write::Create(kind_of("Hypervisor").object(name, base("Hypervisor")));
    let server_says = |json| ("VirtualServer", status(&names.placed, json));
    let disk_says = |json| ("Disk", status(&names.placed, json));
    let port_says = |json| ("NetworkPort", status(&names.port, json));
    let segment_says = |name: &str, json| ("NetworkSegment", status(name, json));
    let hypervisor_says = |json| ("Hypervisor", status(&names.here, json));
    vec![
        // A server that is placed nowhere is on the node of a token without one.
        row("daemon-is-bound-to-a-node",
            "this token of the node-daemon names no node; only a token that is bound to a node, or to a pod on it, may write",
            (Who::UnboundDaemon, ("VirtualServer", status(&names.unplaced, json!({})))),
            (here, server_says(json!({})))),
        row("daemon-writes-no-other-kind",
            "a node-daemon writes the status of virtualservers, disks, hypervisors, networkports and networksegments, and creates its own hypervisor; nothing else",
            (here, ("VirtualServer", Write::Patch(names.placed.clone(), json!({"spec": {"powerState": "PoweredOn"}})))),
            (Who::Admin, ("VirtualServer", Write::Patch(names.placed.clone(), json!({"spec": {"powerState": "PoweredOn"}}))))),
        row("daemon-reports-servers-placed-here",
            "a node-daemon reports only about servers that are placed on its node",
            (there, server_says(json!({"runtime": runtime(&names.there)}))),
            (here, server_says(json!({"runtime": {"state": "Running"}})))),
        row("daemon-reports-servers-placed-here",
            "a node-daemon writes nothing but runtime in the status of a server",
            (here, server_says(json!({"placement": {"nodeName": names.there, "epoch": 2}}))),
            (Who::Admin, server_says(json!({"placement": {"nodeName": names.there, "epoch": 2}})))),
        row("daemon-reports-servers-placed-here",
            "runtime.nodeName must be the node of the node-daemon that writes it",
            (here, server_says(json!({"runtime": {"nodeName": names.there}}))),
            (here, server_says(json!({"runtime": {"nodeName": names.here}})))),
        row("daemon-reports-disks-kept-here",
            "a node-daemon reports only about disks that are kept on its node",
            (there, disk_says(volume(&names.there))),
            (here, disk_says(volume(&names.here)))),
        row("daemon-reports-disks-kept-here",
            "a node-daemon writes nothing but volume in the status of a disk",
            (here, disk_says(json!({"attachEpoch": 1}))),
            (Who::Admin, disk_says(json!({"attachEpoch": 1})))),
        row("daemon-reports-disks-kept-here",
            "volume.nodeName must be the node of the node-daemon that writes it",
            (here, disk_says(volume(&names.there))),
            (here, disk_says(volume(&names.here)))),
        row("daemon-reports-ports-bound-here",
            "a node-daemon reports only about ports that are bound to its node",
            (there, port_says(json!({"nodeName": names.there, "epoch": 5, "state": "Failed"}))),
            (here, port_says(json!({"nodeName": names.here, "epoch": 5, "state": "Failed"})))),
        row("daemon-reports-ports-bound-here",
            "status.nodeName of a port must be the node of the node-daemon that writes it",
            (here, port_says(json!({"nodeName": names.there}))),
            (here, port_says(json!({"nodeName": names.here})))),
        row("daemon-says-what-it-tore-down",
            "a node-daemon writes nothing but tornDown in the status of a segment",
            (here, segment_says(&names.released, json!({"hosts": [names.there]}))),
            (Who::Operator, segment_says(&names.released, json!({"hosts": [names.there]})))),
        row("daemon-says-what-it-tore-down",
            "a node-daemon speaks only for its own node in tornDown",
            (here, segment_says(&names.released, json!({"tornDown": [{"nodeName": names.there}, {"nodeName": names.here}]}))),
            (here, segment_says(&names.released, json!({"tornDown": [{"nodeName": "admit-c"}, {"nodeName": names.here}]})))),
        row("daemon-says-what-it-tore-down",
            "a segment that is in use is not torn down; only one with releasedAt is",
            (here, segment_says(&names.in_use, json!({"tornDown": [{"nodeName": names.here}]}))),
            (here, segment_says(&names.in_use, json!({"tornDown": []})))),
        row("networks-are-given-by-the-operator",
            "suigen-operator writes networkports; change the networkInterfaces of servers or the TenantNetwork instead",
            (Who::Admin, ("NetworkPort", Write::Delete(names.port.clone()))),
            (Who::Operator, ("NetworkPort", Write::Delete(names.port.clone())))),
        row("daemon-creates-its-hypervisor",
            "a Hypervisor is the provider's once it exists; its node-daemon neither changes its spec nor deletes it",
            (here, ("Hypervisor", Write::Patch(names.here.clone(), json!({"spec": {"scheduling": "Enabled"}})))),
            (Who::Admin, ("Hypervisor", Write::Patch(names.here.clone(), json!({"spec": {"scheduling": "Enabled"}}))))),
        row("daemon-creates-its-hypervisor",
            "a node-daemon creates only the Hypervisor that has the name of its node",
            (here, ("Hypervisor", hypervisor(&names.there))),
            (there, ("Hypervisor", hypervisor(&names.there)))),
        row("daemon-reports-its-hypervisor",
            "a node-daemon reports only about the Hypervisor that has the name of its node",
            (there, hypervisor_says(json!({"servers": 0}))),
            (here, hypervisor_says(json!({"servers": 0})))),
        row("daemon-reports-its-hypervisor",
            "the condition Ready of a Hypervisor is the operator's",
            (here, hypervisor_says(ready("Ready"))),
            (here, hypervisor_says(json!({"daemonVersion": "admit"})))),
        row("daemon-renews-its-lease", "a node-daemon does not delete leases",
            (here, ("Lease", Write::Delete(names.here.clone()))),
            (here, ("Lease", lease(&format!("hypervisor-{}", names.here))))),
        row("daemon-renews-its-lease", "the one lease of this node-daemon is hypervisor-admit-a-",
            (here, ("Lease", lease(&format!("hypervisor-{}", names.there)))),
            (there, ("Lease", lease(&format!("hypervisor-{}", names.there))))),
        row("protected-servers-stay",
            "is protected: set spec.deletionProtection to Disabled before deleting it",
            (Who::Admin, ("VirtualServer", Write::Delete(names.unplaced.clone()))),
            (Who::Admin, ("VirtualServer", Write::Delete(names.placed.clone())))),
        row("kinds-stay",
            "kubectl annotate crd virtualservers.suigen.dev suigen.dev/allow-crd-deletion=yes",
            (Who::Admin, ("CustomResourceDefinition", Write::Delete("virtualservers.suigen.dev".into()))),
            (Who::Admin, ("CustomResourceDefinition", Write::Delete(names.acknowledged.clone())))),
    ]
}
