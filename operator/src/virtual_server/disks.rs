//! The disks of a server: which are to be made, which stand in its way. Pure.

use kube::ResourceExt;
use suigen_crds::disk::{Disk, DiskSpec, VolumeState};
use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::server_image::Firmware;
use suigen_crds::virtual_server::{PlacedDisk, Placement, RuntimeState};

use super::observe::{MADE_FOR, Observed, Wanted};
use super::state::{Hurdle, Problem};
use crate::reasons::{PERSON_MUST_ACT, word};
use crate::watch::lookup::Lookup;

/// A Disk that is to be made for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDisk {
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: DiskSpec,
}

/// Disks to be made: those of templates, as long as the server was never
/// placed. Later a missing Disk is a loss, and an empty one in its place
/// would hide it.
pub fn missing(observed: &Observed) -> Vec<NewDisk> {
    if observed.status().placement.is_some() {
        return Vec::new();
    }
    let new = |wanted: &Wanted| {
        let template = wanted.entry.template.as_ref()?;
        let spec = DiskSpec {
            size: template.size.clone(),
            disk_class_name: template.disk_class_name.clone(),
            image_name: template.image_name.clone(),
            reclaim_policy: template.reclaim_policy,
        };
        let missing = matches!(wanted.disk, Lookup::Missing);
        missing.then(|| NewDisk { name: wanted.name.clone(), spec })
    };
    observed.disks.iter().filter_map(new).collect()
}

/// The first thing about a disk that keeps the server from being placed.
pub fn hurdle(observed: &Observed, uid: &Uid) -> Option<Hurdle> {
    let twice = |(index, wanted): (usize, &Wanted)| {
        let again = observed.disks[..index].iter().any(|other| other.name == wanted.name);
        again.then(|| {
            let message = format!("Disk {:?} is named twice: name each disk once", wanted.name);
            Hurdle::Blocked(Problem::new("DiskNamedTwice", message))
        })
    };
    let named_twice = observed.disks.iter().enumerate().find_map(twice);
    named_twice.or_else(|| first_hurdle(observed, uid))
}

fn first_hurdle(observed: &Observed, uid: &Uid) -> Option<Hurdle> {
    observed.disks.iter().find_map(|wanted| hurdle_of(observed, uid, wanted))
}

fn hurdle_of(observed: &Observed, uid: &Uid, wanted: &Wanted) -> Option<Hurdle> {
    let name = &wanted.name;
    let disk = match &wanted.disk {
        Lookup::Found(disk) => disk,
        Lookup::Unreadable(why) => {
            return Some(Hurdle::Blocked(Problem::new(
                "DiskUnreadable",
                format!("Disk {name:?} cannot be read ({why}): correct it"),
            )));
        }
        Lookup::Missing => return Some(absent(observed, wanted)),
    };
    foreign(observed, uid, wanted, disk)
        .or_else(|| unusable(name, disk))
        .or_else(|| taken(uid, wanted, disk))
}

fn absent(observed: &Observed, wanted: &Wanted) -> Hurdle {
    let name = &wanted.name;
    if observed.status().placement.is_some() {
        return Hurdle::Blocked(Problem::new(
            "DiskMissing",
            format!(
                "Disk {name:?} was deleted, and its data with it: create another VirtualServer"
            ),
        ));
    }
    if wanted.entry.template.is_some() {
        let message = format!("Disk {name:?} is being created");
        return Hurdle::Waits(Problem::passing("CreatingDisk", message));
    }
    let message = format!("there is no Disk {name:?} in this namespace: create it");
    Hurdle::Waits(Problem::new("DiskNotFound", message))
}

/// A disk of the right name that is not the server's.
fn foreign(observed: &Observed, uid: &Uid, wanted: &Wanted, disk: &Disk) -> Option<Hurdle> {
    let name = &wanted.name;
    let made_for = disk.annotations().get(MADE_FOR).map(String::as_str);
    if wanted.entry.template.is_some() && made_for != Some(uid.as_str()) {
        return Some(Hurdle::Blocked(Problem::new(
            "DiskNameTaken",
            format!(
                "Disk {name:?} exists and was not made for this server: delete it, or give it to a server by diskName"
            ),
        )));
    }
    let status = observed.status();
    let placed = status.placement.as_ref()?.disks.iter().find(|d| d.disk_name == *name)?;
    (Some(placed.disk_uid.as_str()) != disk.metadata.uid.as_deref()).then(|| {
        Hurdle::Blocked(Problem::new(
            "DiskReplaced",
            format!("Disk {name:?} is another one than the server was placed with; its data is gone: create another VirtualServer"),
        ))
    })
}

fn unusable(name: &str, disk: &Disk) -> Option<Hurdle> {
    if disk.metadata.deletion_timestamp.is_some() {
        let message = format!("Disk {name:?} is being deleted: use another");
        return Some(Hurdle::Blocked(Problem::new("DiskIsBeingDeleted", message)));
    }
    let status = disk.status.as_ref();
    if status.is_some_and(|status| status.source.is_some()) {
        return None;
    }
    let ready = status.and_then(|status| suigen_crds::condition::find(&status.conditions, "Ready"));
    let stalled =
        status.is_some_and(|status| suigen_crds::condition::is_true(&status.conditions, "Stalled"));
    let problem = match ready {
        None => Problem::passing("DiskNotResolved", format!("Disk {name:?} is being looked at")),
        Some(said) => Problem::new(
            word(Some(&said.reason), "DiskNotReady"),
            format!("Disk {name:?}: {}", said.message),
        ),
    };
    Some(if stalled { Hurdle::Blocked(problem) } else { Hurdle::Waits(problem) })
}

fn taken(uid: &Uid, wanted: &Wanted, disk: &Disk) -> Option<Hurdle> {
    let name = &wanted.name;
    let attachment = disk.status.as_ref().and_then(|status| status.attachment.as_ref());
    let other = attachment.filter(|attachment| attachment.server_uid != *uid);
    let message = match other {
        Some(other) => format!(
            "Disk {name:?} is in use by server {}: delete that server, or use another disk",
            other.server_name
        ),
        None if wanted.promised => format!("Disk {name:?} is being given to another server"),
        None => return None,
    };
    Some(Hurdle::Waits(Problem::new("DiskInUse", message)))
}

/// The hypervisor that keeps a disk of the server.
///
/// # Errors
/// When two hypervisors do: the server can run on neither.
pub fn pin(observed: &Observed) -> Result<Option<NodeName>, Problem> {
    let mut pinned: Option<(&NodeName, &str)> = None;
    for wanted in &observed.disks {
        let status = wanted.disk.found().and_then(|disk| disk.status.as_ref());
        let Some(node) = status.and_then(|status| status.node_name.as_ref()) else { continue };
        match pinned {
            Some((other, first)) if other != node => {
                return Err(Problem::new(
                    "DisksOnDifferentHypervisors",
                    format!(
                        "Disk {first:?} is on {other}, Disk {:?} on {node}: a server needs all its local disks on one",
                        wanted.name
                    ),
                ));
            }
            Some(_) => {}
            None => pinned = Some((node, &wanted.name)),
        }
    }
    Ok(pinned.map(|(node, _)| node.clone()))
}

/// Disks that were given to the server on a hypervisor which refused it and
/// never made them: they may be made elsewhere. A hypervisor whose log was
/// replaced does not know what it made, so its disks stay.
pub fn never_made(observed: &Observed, uid: &Uid) -> Vec<String> {
    let status = observed.status();
    let refused = status.runtime.filter(|said| {
        said.state == RuntimeState::Refused && said.reason.as_deref() != Some("LogReplaced")
    });
    let Some(refused) = refused else { return Vec::new() };
    let never_made = |wanted: &&Wanted| {
        let status = wanted.disk.found().and_then(|disk| disk.status.as_ref());
        status.is_some_and(|status| {
            status.volume.is_none()
                && status.node_name.as_ref() == Some(&refused.node_name)
                && status.attachment.as_ref().is_some_and(|attachment| {
                    attachment.server_uid == *uid && attachment.server_epoch <= refused.epoch
                })
        })
    };
    observed.disks.iter().filter(never_made).map(|wanted| wanted.name.clone()).collect()
}

/// Space that the server's disks will take where it is placed.
pub fn bytes_to_come(observed: &Observed) -> i64 {
    let loose = |disk: &&std::sync::Arc<Disk>| {
        disk.status.as_ref().is_none_or(|status| status.node_name.is_none())
    };
    let found = observed.disks.iter().filter_map(|wanted| wanted.disk.found());
    found.filter(loose).map(|disk| disk.spec.size.get()).sum()
}

/// The disks as they go into a placement; none when one is not there.
pub fn placed(observed: &Observed) -> Option<Vec<PlacedDisk>> {
    let one = |wanted: &Wanted| {
        let uid = wanted.disk.found()?.metadata.uid.clone()?;
        Some(PlacedDisk {
            name: wanted.entry.name.clone(),
            disk_name: wanted.name.clone(),
            disk_uid: Uid::try_from(uid).ok()?,
        })
    };
    observed.disks.iter().map(one).collect()
}

/// The firmware that the boot disk's image needs.
pub fn firmware(observed: &Observed) -> Firmware {
    let boot = observed.disks.first().and_then(|wanted| wanted.disk.found());
    let source = boot.and_then(|disk| disk.status.as_ref()?.source.as_ref());
    source.and_then(|source| source.image.as_ref()).map_or(Firmware::Bios, |image| image.firmware)
}

/// The first disk of a placed server whose volume is not ready, in words;
/// none when all are.
pub fn not_ready(observed: &Observed, uid: &Uid, placement: &Placement) -> Option<Hurdle> {
    observed.disks.iter().find_map(|wanted| {
        if let Some(hurdle) = hurdle_of(observed, uid, wanted)
            && !is_attached(wanted, uid, placement)
        {
            return Some(hurdle);
        }
        volume_hurdle(wanted)
    })
}

fn is_attached(wanted: &Wanted, uid: &Uid, placement: &Placement) -> bool {
    let status = wanted.disk.found().and_then(|disk| disk.status.as_ref());
    status.and_then(|status| status.attachment.as_ref()).is_some_and(|attachment| {
        attachment.server_uid == *uid && attachment.server_epoch == placement.epoch
    })
}

fn volume_hurdle(wanted: &Wanted) -> Option<Hurdle> {
    let name = &wanted.name;
    let volume = wanted.disk.found().and_then(|disk| disk.status.as_ref()?.volume.as_ref());
    let Some(volume) = volume else {
        let message = format!("Disk {name:?} is about to be made");
        return Some(Hurdle::Waits(Problem::passing("CreatingDisk", message)));
    };
    let said = volume.message.as_deref().unwrap_or("no message");
    match volume.state {
        VolumeState::Ready => None,
        VolumeState::Creating => Some(Hurdle::Waits(Problem::passing(
            "CreatingDisk",
            format!("Disk {name:?} is being made on {}", volume.node_name),
        ))),
        VolumeState::Failed => {
            let reason = word(volume.reason.as_deref(), "VolumeFailed");
            let problem = Problem::new(reason, format!("Disk {name:?}: {said}"));
            let act = PERSON_MUST_ACT.contains(&reason);
            Some(if act { Hurdle::Blocked(problem) } else { Hurdle::Waits(problem) })
        }
        VolumeState::Deleted | VolumeState::Unknown => Some(Hurdle::Blocked(Problem::new(
            "VolumeNotUsable",
            format!(
                "Disk {name:?}: its volume was erased, or is in a state that this release does not know"
            ),
        ))),
    }
}
