//! What a disk comes to. Pure.

use suigen_crds::condition::Finding;
use suigen_crds::disk::{
    Attachment, DiskPhase, DiskSource, DiskStatus, ImageSource, Volume, VolumeState,
};
use suigen_crds::disk_class::{Backend, DiskClass};
use suigen_crds::quantity::human;
use suigen_crds::server_image::{Firmware, ImageFormat, ServerImage};

use super::observe::Observed;
use crate::finalizer::{Deletion, Finalizer, is_held};
use crate::reasons::{PERSON_MUST_ACT, word};
use crate::watch::lookup::Lookup;

/// Everything that is to be done and said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of our finalizer.
    pub finalizer: Finalizer,
    /// Class and image, resolved now or before.
    pub source: Option<DiskSource>,
    /// The word for the eye.
    pub phase: DiskPhase,
    /// What is to be said.
    pub findings: Vec<Finding>,
    /// Whether it says only that work goes on.
    pub progress: bool,
}

/// A state with the words for it.
struct Said {
    phase: DiskPhase,
    ready: Finding,
    stalled: bool,
    progress: bool,
}

/// Decides.
pub fn plan(observed: &Observed) -> Plan {
    let stored = observed.disk.status.clone().unwrap_or_default();
    let (finalizer, source, said) = match observed.deletion {
        Deletion::CrdTerminating => {
            (Finalizer::Keep, stored.source.clone(), crd_terminating(&stored))
        }
        Deletion::Wanted => {
            let (finalizer, said) = deleting(observed, &stored);
            (finalizer, stored.source.clone(), said)
        }
        Deletion::No => {
            let finalizer = if is_held(&*observed.disk) { Finalizer::Keep } else { Finalizer::Add };
            match stored.source.clone().map_or_else(|| resolve(observed), Ok) {
                Ok(source) => {
                    let said = alive(observed, &stored);
                    (finalizer, Some(source), said)
                }
                Err(said) => (finalizer, None, *said),
            }
        }
    };
    let progress = said.progress && source == stored.source;
    Plan { finalizer, source, phase: said.phase, findings: findings(&said), progress }
}

fn findings(said: &Said) -> Vec<Finding> {
    let Finding { reason, message, status, .. } = &said.ready;
    let ready = *status == suigen_crds::condition::Status::True;
    let stalled = if said.stalled {
        Finding::yes("Stalled", reason, message.clone())
    } else {
        Finding::no("Stalled", "NothingToDo", "no person need act")
    };
    let reconciling = if ready || said.stalled {
        Finding::no("Reconciling", reason, "nothing is under way")
    } else {
        Finding::yes("Reconciling", reason, message.clone())
    };
    vec![said.ready.clone(), reconciling, stalled]
}

fn resolve(observed: &Observed) -> Result<DiskSource, Box<Said>> {
    let class = found(&observed.class, &observed.disk.spec.disk_class_name)?;
    if class.spec.backend == Backend::Unknown {
        return Err(blocked(
            "DiskClassNotUnderstood",
            format!(
                "the backend of DiskClass {:?} is not known to this release: upgrade Suigen, or use another class",
                observed.disk.spec.disk_class_name
            ),
        ));
    }
    let image = match (&observed.image, observed.disk.spec.image()) {
        (Some(image), Some(name)) => Some(image_source(found(image, name)?, name, observed)?),
        (None, _) | (_, None) => None,
    };
    Ok(DiskSource { backend: class.spec.backend, image })
}

fn image_source(
    image: &ServerImage,
    name: &str,
    observed: &Observed,
) -> Result<ImageSource, Box<Said>> {
    let spec = &image.spec;
    if spec.format == ImageFormat::Unknown || spec.firmware == Firmware::Unknown {
        return Err(blocked(
            "ServerImageNotUnderstood",
            format!(
                "format or firmware of ServerImage {name:?} is not known to this release: upgrade Suigen, or use another image"
            ),
        ));
    }
    if spec.minimum_disk.get() > observed.disk.spec.size.get() {
        return Err(blocked(
            "ImageLargerThanDisk",
            format!(
                "ServerImage {name:?} needs a disk of at least {}, this one has {}: create a larger Disk",
                human(spec.minimum_disk.get()),
                human(observed.disk.spec.size.get())
            ),
        ));
    }
    Ok(ImageSource {
        url: spec.url.clone(),
        sha256: spec.sha256.clone(),
        format: spec.format,
        firmware: spec.firmware,
    })
}

/// The words for a kind that a disk names.
trait Named {
    const NOT_FOUND: &'static str;
    const UNREADABLE: &'static str;
    const KIND: &'static str;
}

impl Named for DiskClass {
    const NOT_FOUND: &'static str = "DiskClassNotFound";
    const UNREADABLE: &'static str = "DiskClassUnreadable";
    const KIND: &'static str = "DiskClass";
}

impl Named for ServerImage {
    const NOT_FOUND: &'static str = "ServerImageNotFound";
    const UNREADABLE: &'static str = "ServerImageUnreadable";
    const KIND: &'static str = "ServerImage";
}

fn found<'a, K: Named>(lookup: &'a Lookup<K>, name: &str) -> Result<&'a K, Box<Said>> {
    match lookup {
        Lookup::Found(object) => Ok(object),
        Lookup::Missing => Err(pending(
            K::NOT_FOUND,
            format!("there is no {} {name:?}: create it, or use another", K::KIND),
        )),
        Lookup::Unreadable(why) => Err(pending(
            K::UNREADABLE,
            format!("{} {name:?} cannot be read ({why}): correct it", K::KIND),
        )),
    }
}

fn pending(reason: &'static str, message: String) -> Box<Said> {
    Box::new(Said {
        phase: DiskPhase::Pending,
        ready: Finding::no("Ready", reason, message),
        stalled: false,
        progress: false,
    })
}

fn blocked(reason: &'static str, message: String) -> Box<Said> {
    Box::new(Said { phase: DiskPhase::Failed, stalled: true, ..*pending(reason, message) })
}

fn alive(observed: &Observed, stored: &DiskStatus) -> Said {
    // What is given to a server and not yet spoken of by its daemon is not worth
    // a write of its own.
    let Some(volume) = &stored.volume else {
        let message = "it is made where the first server that uses it is placed".to_owned();
        return Said { progress: true, ..*pending("WaitsForServer", message) };
    };
    made(observed, volume, stored.attachment.as_ref())
}

fn creating(message: String) -> Said {
    Said {
        phase: DiskPhase::Creating,
        ready: Finding::no("Ready", "Creating", message),
        stalled: false,
        progress: true,
    }
}

fn made(observed: &Observed, volume: &Volume, attachment: Option<&Attachment>) -> Said {
    let message = volume.message.clone();
    let phase = if attachment.is_some() { DiskPhase::InUse } else { DiskPhase::Ready };
    let said = |phase, ready| Said { phase, ready, stalled: false, progress: false };
    match volume.state {
        VolumeState::Creating => creating(message.unwrap_or_else(|| {
            format!("{} fetches the image and makes the volume", volume.node_name)
        })),
        VolumeState::Ready if observed.unreachable => said(
            phase,
            Finding::unknown(
                "Ready",
                "HypervisorUnreachable",
                format!("{}, which keeps the data, was not heard of lately", volume.node_name),
            ),
        ),
        VolumeState::Ready => {
            let on = format!("the volume is on {}", volume.node_name);
            said(phase, Finding::yes("Ready", "VolumeReady", on))
        }
        VolumeState::Failed => {
            let reason = word(volume.reason.as_deref(), "VolumeFailed");
            let message = message.unwrap_or_else(|| format!("{} cannot use it", volume.node_name));
            Said {
                stalled: PERSON_MUST_ACT.contains(&reason),
                ..said(DiskPhase::Failed, Finding::no("Ready", reason, message))
            }
        }
        VolumeState::Deleted => said(
            DiskPhase::Failed,
            Finding::no("Ready", "VolumeDeleted", "its data was erased: delete the Disk"),
        ),
        VolumeState::Unknown => said(
            phase,
            Finding::unknown(
                "Ready",
                "VolumeStateNotUnderstood",
                "the node-daemon is of a later release than the operator: upgrade the operator",
            ),
        ),
    }
}

fn crd_terminating(stored: &DiskStatus) -> Said {
    Said {
        phase: stored.phase.filter(|p| *p != DiskPhase::Unknown).unwrap_or(DiskPhase::Pending),
        ready: Finding::unknown(
            "Ready",
            "CrdTerminating",
            "the CRD disks.suigen.dev is being deleted, which marks every Disk; no data is erased for that",
        ),
        stalled: true,
        progress: false,
    }
}

fn deleting(observed: &Observed, stored: &DiskStatus) -> (Finalizer, Said) {
    let said = |phase, reason, message: String| Said {
        phase,
        ready: Finding::no("Ready", reason, message),
        stalled: false,
        progress: false,
    };
    if let Some(attachment) = &stored.attachment {
        let message = format!(
            "it is deleted once server {} has given it up: delete that server",
            attachment.server_name
        );
        return (Finalizer::Keep, said(DiskPhase::InUse, "InUse", message));
    }
    let Some(node) = &stored.node_name else {
        return (Finalizer::Lift, said(DiskPhase::Deleting, "Deleted", "nothing was made".into()));
    };
    let erased = stored
        .volume
        .as_ref()
        .is_some_and(|volume| volume.state == VolumeState::Deleted && volume.node_name == *node);
    if erased {
        return (Finalizer::Lift, said(DiskPhase::Deleting, "Deleted", "the data is gone".into()));
    }
    let message = if observed.unreachable {
        format!(
            "{node}, which keeps the data, was not heard of lately; it erases the data when it is back"
        )
    } else {
        format!("{node} erases the data")
    };
    let waiting =
        Said { progress: !observed.unreachable, ..said(DiskPhase::Deleting, "Erasing", message) };
    (Finalizer::Keep, waiting)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
