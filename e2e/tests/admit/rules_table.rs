//! The rules of the CRDs, with a change that each admits and one that it refuses.

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A new object: the fixture of its kind, merged with the row's change.
    Created,
    /// A change of the stored object.
    Changed,
    /// A change of the stored object's status.
    Reported,
}

/// One rule: what it admits, what it refuses, and what the refused reads.
#[derive(Debug)]
pub struct Row {
    pub kind: &'static str,
    pub when: When,
    pub accepted: &'static str,
    pub refused: &'static str,
    pub says: &'static str,
}

pub const fn row(
    kind: &'static str,
    when: When,
    accepted: &'static str,
    refused: &'static str,
    says: &'static str,
) -> Row {
    Row { kind, when, accepted, refused, says }
}

use When::{Changed, Created, Reported};

const LONG: &str =
    "{metadata: {name: a123456789b123456789c123456789d123456789e123456789f123456789g123}}";

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // Names.
    row("VirtualServer", Created, "{metadata: {name: admit-1}}", "{metadata: {name: web.1}}",
        "the name of a VirtualServer becomes its host name: at most 63 characters, no dots"),
    row("VirtualServer", Created,
        "{metadata: {name: a123456789b123456789c123456789d123456789e123456789f1234567}, spec: {disks: [{name: root, template: {size: 1Gi, diskClassName: c}}]}}",
        "{metadata: {name: a123456789b123456789c123456789d123456789e123456789f12345678}, spec: {disks: [{name: root, template: {size: 1Gi, diskClassName: c}}]}}",
        "a disk with a template becomes the Disk <server>-<name>: together with the server's name its name has at most 62 characters"),
    row("Disk", Created, "{metadata: {name: admit-data}}", LONG,
        "the name of a Disk has at most 63 characters, no dots"),
    row("ServerClass", Created, "{metadata: {name: admit-2c4g}}", LONG,
        "the name of a ServerClass has at most 63 characters, no dots"),
    row("DiskClass", Created, "{metadata: {name: admit-be}}", "{metadata: {name: local.be}}",
        "the name of a DiskClass has at most 63 characters, no dots"),
    row("ServerImage", Created, "{metadata: {name: admit-13}}", "{metadata: {name: debian.13}}",
        "the name of a ServerImage has at most 63 characters, no dots"),
    // A server's disks.
    row("VirtualServer", Created, "{spec: {bootDiskName: root}}", "{spec: {bootDiskName: other}}",
        "bootDiskName must be the name of one of the disks"),
    row("VirtualServer", Created,
        "{spec: {disks: [{name: root, template: {size: 1Gi, diskClassName: c}}]}}",
        "{spec: {disks: [{name: root, diskName: d, template: {size: 1Gi, diskClassName: c}}]}}",
        "a disk needs either template or diskName, and not both"),
    row("VirtualServer", Created, "{spec: {disks: [{name: root, diskName: d}]}}",
        "{spec: {disks: [{name: root}]}}",
        "a disk needs either template or diskName, and not both"),
    row("VirtualServer", Created,
        "{spec: {disks: [{name: root, diskName: d}, {name: data, diskName: e}]}}",
        "{spec: {disks: [{name: root, diskName: d}, {name: data, diskName: d}]}}",
        "a Disk can be given to a server only once"),
    row("VirtualServer", Created,
        "{spec: {disks: [{name: root, template: {size: 1Gi, diskClassName: c}}, {name: b, diskName: other-root}]}}",
        "{spec: {disks: [{name: root, template: {size: 1Gi, diskClassName: c}}, {name: b, diskName: admit-new-root}]}}",
        "a Disk can be given to a server only once"),
    // What cannot change.
    row("VirtualServer", Changed, "{spec: {powerState: PoweredOn}}", "{spec: {serverClassName: other}}",
        "serverClassName cannot be changed: create another VirtualServer and give it the disks"),
    row("VirtualServer", Changed, "{spec: {restartPolicy: Never}}",
        "{spec: {disks: [{name: root, diskName: other}]}}",
        "disks cannot be changed: create another VirtualServer and give it the disks"),
    row("VirtualServer", Changed, "{spec: {deletionProtection: Enabled}}", "{spec: {bootDiskName: other}}",
        "bootDiskName cannot be changed"),
    row("Disk", Changed, "{spec: {size: 1024Mi}}", "{spec: {size: 2Gi}}",
        "size cannot be changed yet: create a larger Disk"),
    row("Disk", Changed, "{spec: {reclaimPolicy: Delete}}", "{spec: {diskClassName: other}}",
        "diskClassName cannot be changed: create another Disk"),
    row("Disk", Changed, "{spec: {imageName: ''}}", "{spec: {imageName: debian}}",
        "imageName cannot be changed: create another Disk"),
    row("ServerClass", Changed, "{metadata: {labels: {a: b}}}", "{spec: {virtual: {vcpus: 4}}}",
        "spec of a ServerClass cannot be changed, because servers were sold with it: create a class with another name"),
    row("DiskClass", Changed, "{metadata: {labels: {a: b}}}", "{spec: {resourceType: Guaranteed}}",
        "spec of a DiskClass cannot be changed, because disks were made with it: create a class with another name"),
    row("ServerImage", Changed, "{metadata: {labels: {a: b}}}", "{spec: {firmware: Uefi}}",
        "spec of a ServerImage cannot be changed, because disks were made from it: create an image with another name"),
    // What a class may sell.
    row("ServerClass", Created, "{spec: {virtual: {vcpus: 2, cpuFloorMillis: 2000}}}",
        "{spec: {virtual: {vcpus: 2, cpuFloorMillis: 2001}}}",
        "cpuFloorMillis cannot exceed 1000 for each of the vcpus"),
    row("ServerClass", Created, "{spec: {virtual: {memory: 64Mi}}}", "{spec: {virtual: {memory: 65535Ki}}}",
        "memory is at least 64Mi: with less neither firmware nor kernel starts"),
    // The run right.
    row("VirtualServer", Reported, "{status: {phase: Stopped}}", "{status: null}",
        "status holds the run right: it is changed, never removed"),
    row("VirtualServer", Reported, "{status: {placement: {epoch: 6}}}", "{status: {placement: null}}",
        "a placement is replaced, never removed"),
    row("VirtualServer", Reported, "{status: {placement: {epoch: 6}}}", "{status: {placement: {epoch: 4}}}",
        "the epoch of a placement never falls"),
    row("VirtualServer", Reported, "{status: {placement: {epoch: 6, nodeName: admit-b}}}",
        "{status: {placement: {nodeName: admit-b}}}",
        "the run right moves only under a higher epoch"),
    row("VirtualServer", Reported, "{status: {runtime: {epoch: 5, state: Running}}}",
        "{status: {runtime: {epoch: 4, state: Running}}}",
        "a report from a lower epoch is refused"),
    // The right to a disk.
    row("Disk", Reported, "{status: {phase: Ready}}", "{status: null}",
        "status says who may write the disk: it is changed, never removed"),
    row("Disk", Reported, "{status: {attachEpoch: 4}}", "{status: {attachEpoch: 2}}",
        "attachEpoch never falls"),
    row("Disk", Reported, "{status: {attachEpoch: 3}}", "{status: {attachEpoch: null}}",
        "attachEpoch never falls"),
    row("Disk", Reported, "{status: {nodeName: admit-a}}", "{status: {nodeName: admit-b}}",
        "nodeName never changes: the data is there and nowhere else"),
    // Bounds, and values from nowhere or from a newer schema.
    row("VirtualServer", Created, "{spec: {powerState: PoweredOff}}", "{spec: {powerState: Hibernated}}",
        "Unsupported value: \"Hibernated\""),
    row("VirtualServer", Created, "{spec: {restartPolicy: OnFailure}}", "{spec: {disks: []}}",
        "should have at least 1 items"),
    row("VirtualServer", Created, "{spec: {serverClassName: g-2c4g}}", "{spec: {serverClassName: null}}",
        "spec.serverClassName: Required value"),
    row("VirtualServer", Reported, "{status: {phase: Running}}", "{status: {phase: Dreaming}}",
        "Unsupported value: \"Dreaming\""),
    row("Disk", Created, "{spec: {size: 1073741824}}", "{spec: {size: 1.5Gi}}", "spec.size: Invalid value"),
    row("Disk", Created, "{spec: {size: 999999Ti}}", "{spec: {size: 0}}", "spec.size: Invalid value"),
    row("ServerImage", Created, "{spec: {url: 'https://images.example/a'}}",
        "{spec: {url: 'https://user:secret@images.example/a'}}", "spec.url: Invalid value"),
    row("ServerImage", Created, "{spec: {url: 'http://images.example:8080/a'}}",
        "{spec: {url: 'file:///etc/shadow'}}", "spec.url: Invalid value"),
    row("ServerImage", Created,
        "{spec: {sha256: 'abcdef0000000000000000000000000000000000000000000000000000000000'}}",
        "{spec: {sha256: 'ABCDEF0000000000000000000000000000000000000000000000000000000000'}}",
        "spec.sha256: Invalid value"),
];
