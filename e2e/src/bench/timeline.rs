//! When a server took which step, as somebody who watches the API sees it.

use std::collections::BTreeMap;

use suigen_crds::condition;
use suigen_crds::disk::{Disk, VolumeState};
use suigen_crds::virtual_server::{RuntimeState, VirtualServer};

use super::statistics::Summary;

/// The steps from a manifest to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The API server was given the VirtualServer.
    Created,
    /// It has a placement.
    Placed,
    /// The volume of its disk is there.
    VolumeReady,
    /// Its QEMU was started.
    QemuStarted,
    /// The guest's console says that it is up.
    GuestUp,
    /// `runtime.state` is `Running`.
    Running,
    /// The condition `Ready` holds.
    Ready,
}

/// Steps that bring a server up, in the order in which they should come.
pub const ALL: [Step; 7] = [
    Step::Created,
    Step::Placed,
    Step::VolumeReady,
    Step::QemuStarted,
    Step::Running,
    Step::Ready,
    Step::GuestUp,
];

/// The steps of one server so far, each in seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// The server's name.
    pub name: String,
    /// Its UID, once it has one.
    pub uid: String,
    /// Its hypervisor, once it is placed.
    pub node: Option<String>,
    at: BTreeMap<Step, f64>,
}

impl Timeline {
    /// A server that does not exist yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), uid: String::new(), node: None, at: BTreeMap::new() }
    }

    /// Notes a step; only the first time counts.
    pub fn note(&mut self, step: Step, now: f64) {
        self.at.entry(step).or_insert(now);
    }

    /// Whether a step was seen.
    pub fn has(&self, step: Step) -> bool {
        self.at.contains_key(&step)
    }

    /// Notes what the VirtualServer shows.
    pub fn saw_server(&mut self, server: &VirtualServer, now: f64) {
        let Some(status) = &server.status else { return };
        if let Some(placement) = &status.placement {
            self.node = Some(placement.node_name.to_string());
            self.note(Step::Placed, now);
        }
        if status.runtime.as_ref().is_some_and(|said| said.state == RuntimeState::Running) {
            self.note(Step::Running, now);
        }
        if condition::is_true(&status.conditions, "Ready") {
            self.note(Step::Ready, now);
        }
    }

    /// Notes what the Disk of the server shows.
    pub fn saw_disk(&mut self, disk: &Disk, now: f64) {
        let volume = disk.status.as_ref().and_then(|status| status.volume.as_ref());
        if volume.is_some_and(|volume| volume.state == VolumeState::Ready) {
            self.note(Step::VolumeReady, now);
        }
    }

    /// Steps that were not seen.
    pub fn missing(&self) -> Vec<Step> {
        ALL.into_iter().filter(|step| !self.has(*step)).collect()
    }

    /// Seconds between two steps.
    pub fn between(&self, from: Step, to: Step) -> Option<f64> {
        Some(self.at.get(&to)? - self.at.get(&from)?)
    }
}

/// The spans that are shown, each in the words of the table.
pub const SPANS: [(&str, Step, Step); 7] = [
    ("created → placed", Step::Created, Step::Placed),
    ("placed → volume made and reported", Step::Placed, Step::VolumeReady),
    ("placed → QEMU started", Step::Placed, Step::QemuStarted),
    ("QEMU started → reported Running", Step::QemuStarted, Step::Running),
    ("reported Running → condition Ready", Step::Running, Step::Ready),
    ("QEMU started → guest up", Step::QemuStarted, Step::GuestUp),
    ("created → guest up", Step::Created, Step::GuestUp),
];

/// One span over all servers.
pub fn span(timelines: &[Timeline], from: Step, to: Step) -> Option<Summary> {
    Summary::of(timelines.iter().filter_map(|one| one.between(from, to)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn server(status: &serde_json::Value) -> VirtualServer {
        serde_json::from_value(json!({
            "apiVersion": "suigen.dev/v1alpha1",
            "kind": "VirtualServer",
            "metadata": {"name": "s-1", "uid": "u"},
            "spec": {"serverClassName": "c", "bootDiskName": "root", "disks": [{"name": "root", "diskName": "d"}]},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_step_counts_from_when_it_was_first_seen() {
        let mut timeline = Timeline::new("s-1");
        timeline.note(Step::Created, 10.0);
        let running = json!({
            "placement": {"nodeName": "node-a", "epoch": 1, "walId": "00000000-0000-4000-8000-000000000001",
                "class": {"name": "c", "resourceType": "BestEffort", "vcpus": 1, "memoryBytes": 1, "cpuFloorMillis": 1},
                "firmware": "Bios", "disks": []},
            "runtime": {"nodeName": "node-a", "epoch": 1, "state": "Running"},
        });
        timeline.saw_server(&server(&json!({})), 11.0);
        assert_eq!(timeline.between(Step::Created, Step::Placed), None);
        timeline.saw_server(&server(&running), 12.0);
        timeline.saw_server(&server(&running), 13.0);
        assert_eq!(timeline.node.as_deref(), Some("node-a"));
        assert_eq!(timeline.between(Step::Created, Step::Running), Some(2.0));
        assert_eq!(
            timeline.missing(),
            [Step::VolumeReady, Step::QemuStarted, Step::Ready, Step::GuestUp]
        );
        assert_eq!(span(&[timeline], Step::Created, Step::Placed).unwrap().median, 2.0);
    }

    #[test]
    fn every_step_is_part_of_a_span() {
        for step in ALL {
            assert!(SPANS.iter().any(|(_, from, to)| step == *from || step == *to), "{step:?}");
        }
    }
}
