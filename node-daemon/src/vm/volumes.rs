//! The volumes of one start: each Disk read by quorum, its volume made or
//! found, and its state known to the API before anything is written to it.

use std::sync::Arc;
use std::time::Duration;

use kube::core::ObjectMeta;
use suigen_crds::disk::{Attachment, Disk, DiskSource, ImageSource, Volume, VolumeState};
use suigen_crds::disk_class::Backend;
use suigen_crds::ident::{Epoch, Uid};
use suigen_crds::virtual_server::PlacedDisk;
use tokio_util::sync::CancellationToken;

use super::node::Node;
use crate::api::{ReadError, WriteError};
use crate::metrics::Reason;
use crate::report::runtime::{Trouble, explain};
use crate::storage::volume::{self, VolumeRequest};

/// Making a volume that takes longer than this is worth a word in the API.
const WORTH_A_WORD: Duration = Duration::from_millis(1500);
/// The reason of a volume that was there once and is not now.
const MISSING: &str = "VolumeMissing";

/// A volume that can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyVolume {
    /// What the server calls the disk.
    pub name: String,
    /// The Disk's UID.
    pub disk: Uid,
    /// The image that it was made from.
    pub image: Option<ImageSource>,
}

/// Why a server's volumes cannot be opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady(pub Trouble);

impl NotReady {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self(Trouble::new(reason, message))
    }
}

impl From<ReadError> for NotReady {
    fn from(error: ReadError) -> Self {
        Self::new(error.reason(), format!("read a Disk: {error}"))
    }
}

/// Which run of which server asks.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Namespace of the server and its Disks.
    pub namespace: String,
    /// The server.
    pub server: Uid,
    /// The right under which it may open them.
    pub epoch: Epoch,
}

/// Makes sure of all volumes, in the guest's order.
///
/// # Errors
/// With the first that is not ready.
pub async fn make_ready(
    node: Arc<Node>,
    asker: Asker,
    disks: Vec<PlacedDisk>,
) -> Result<Vec<ReadyVolume>, NotReady> {
    let mut ready = Vec::with_capacity(disks.len());
    for placed in disks {
        ready.push(one(&node, &asker, placed).await?);
    }
    Ok(ready)
}

async fn one(node: &Node, asker: &Asker, placed: PlacedDisk) -> Result<ReadyVolume, NotReady> {
    let _held = node.disks.lock(&placed.disk_uid).await;
    let disk = node.api.read_disk(&asker.namespace, &placed.disk_name).await?;
    let disk = attached(disk, asker, &placed, node.api.me.node.as_str())?;
    let source = disk.status.as_ref().and_then(|status| status.source.clone());
    let Some(source) = source else {
        return Err(NotReady::new(
            "DiskSourceUnknown",
            format!("Disk {} has no source yet", placed.disk_name),
        ));
    };
    match source.backend {
        Backend::Local => {}
        Backend::Unknown => {
            let message =
                format!("Disk {} has a backend that this version does not know", placed.disk_name);
            return Err(NotReady::new("DiskBackendUnknown", message));
        }
    }
    make(node, &disk, &placed.disk_uid, &source).await?;
    Ok(ReadyVolume { name: placed.name, disk: placed.disk_uid, image: source.image })
}

/// The Disk, if this run of this server may open it on this node.
fn attached(
    disk: Option<Disk>,
    asker: &Asker,
    placed: &PlacedDisk,
    me: &str,
) -> Result<Disk, NotReady> {
    let name = &placed.disk_name;
    let disk = disk
        .filter(|disk| disk.metadata.uid.as_deref() == Some(placed.disk_uid.as_str()))
        .ok_or_else(|| {
        NotReady::new(
            "DiskMissing",
            format!("the Disk {name} that the server was placed with is gone"),
        )
    })?;
    let status = disk.status.as_ref();
    let ours = |attachment: &Attachment| {
        attachment.server_uid == asker.server && attachment.server_epoch == asker.epoch
    };
    if !status.and_then(|status| status.attachment.as_ref()).is_some_and(ours) {
        let message =
            format!("Disk {name} is not yet given to epoch {} of this server", asker.epoch);
        return Err(NotReady::new("DiskNotAttached", message));
    }
    match status.and_then(|status| status.node_name.as_ref()) {
        Some(node) if node.as_str() == me => Ok(disk),
        Some(node) => {
            Err(NotReady::new("DiskElsewhere", format!("the data of Disk {name} is on {node}")))
        }
        None => Err(NotReady::new("DiskNotAttached", format!("Disk {name} has no node yet"))),
    }
}

async fn make(node: &Node, disk: &Disk, uid: &Uid, source: &DiskSource) -> Result<(), NotReady> {
    let stored = disk.status.as_ref().and_then(|status| status.volume.as_ref());
    let existed = once_ready(stored);
    let request = VolumeRequest {
        disk: uid.clone(),
        size_bytes: disk.spec.size.get(),
        image: source.image.clone(),
        existed_before: existed,
    };
    let mut made = std::pin::pin!(ensure(node, request));
    let made = match tokio::time::timeout(WORTH_A_WORD, made.as_mut()).await {
        Ok(made) => made,
        Err(_) => {
            if !existed {
                say(node, disk, VolumeState::Creating, None).await?;
            }
            made.await
        }
    };
    match made {
        // Known to the API before the guest writes to it: from now on a missing
        // file is a loss, never a reason to begin anew.
        Ok(()) => say(node, disk, VolumeState::Ready, None).await,
        Err(trouble) => {
            if !existed || trouble.reason == MISSING {
                say(node, disk, VolumeState::Failed, Some(&trouble)).await?;
            }
            Err(NotReady(trouble))
        }
    }
}

/// Makes the volume; a caller that stops waiting also ends the download.
async fn ensure(node: &Node, request: VolumeRequest) -> Result<(), Trouble> {
    let Some(tool) = node.tool.get().cloned() else {
        return Err(Trouble::new("NoBundle", "the node has no QEMU bundle"));
    };
    let cancel = CancellationToken::new();
    let _cancelled = cancel.clone().drop_guard();
    let work = move || volume::ensure(&tool, &request, &cancel);
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let reason = error.reason();
            node.metrics.volume_errors.get_or_create(&Reason { reason }).inc();
            Err(Trouble::new(reason, explain(&error)))
        }
        Err(error) => Err(Trouble::new("DaemonStopping", error.to_string())),
    }
}

/// Whether the volume was ready once: then it is never made a second time.
fn once_ready(stored: Option<&Volume>) -> bool {
    stored.is_some_and(|volume| {
        volume.state == VolumeState::Ready || volume.reason.as_deref() == Some(MISSING)
    })
}

async fn say(
    node: &Node,
    disk: &Disk,
    state: VolumeState,
    trouble: Option<&Trouble>,
) -> Result<(), NotReady> {
    let volume = Volume {
        node_name: node.api.me.node.clone(),
        state,
        reason: trouble.map(|trouble| trouble.reason.clone()),
        message: trouble.map(|trouble| trouble.message.clone()),
    };
    write(node, disk, &volume).await.map_err(|error| {
        NotReady::new(error.reason(), format!("write the state of a Disk's volume: {error}"))
    })
}

/// Writes the volume's state unless it stands there already.
///
/// # Errors
/// When it is not written.
pub(crate) async fn write(node: &Node, disk: &Disk, volume: &Volume) -> Result<(), WriteError> {
    if disk.status.as_ref().and_then(|status| status.volume.as_ref()) == Some(volume) {
        return Ok(());
    }
    let meant = ObjectMeta {
        name: disk.metadata.name.clone(),
        namespace: disk.metadata.namespace.clone(),
        uid: disk.metadata.uid.clone(),
        ..ObjectMeta::default()
    };
    node.api.write_volume(&meant, volume).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decide_that_a_volume_is_never_made_twice() {
        let volume = |state, reason: Option<&str>| Volume {
            node_name: "node-a".to_owned().try_into().unwrap(),
            state,
            reason: reason.map(Into::into),
            message: None,
        };
        assert!(!once_ready(None));
        assert!(!once_ready(Some(&volume(VolumeState::Creating, None))));
        assert!(!once_ready(Some(&volume(VolumeState::Failed, Some("NodeDiskFull")))));
        assert!(once_ready(Some(&volume(VolumeState::Ready, None))));
        assert!(once_ready(Some(&volume(VolumeState::Failed, Some(MISSING)))));
    }
}
