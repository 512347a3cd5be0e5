//! Deleted Disks: their volumes are erased once nothing has them open. (They
//! are made as part of a server's start, see [`crate::vm::volumes`].)

pub mod locks;

use std::sync::Arc;

use kube::ResourceExt;
use suigen_crds::disk::{Disk, Volume, VolumeState};
use suigen_crds::ident::Uid;

use crate::metrics::Reason;
use crate::report::runtime::explain;
use crate::storage::volume;
use crate::vm::backoff;
use crate::vm::node::Node;
use crate::vm::volumes::write;

/// Whether a Disk asks this node for the erasure of its volume. Pure; asked of
/// what a watch saw, and again of what a quorum read shows.
#[must_use]
pub fn wants_erasure(disk: &Disk, me: &str) -> bool {
    let Some(status) = &disk.status else { return false };
    disk.metadata.deletion_timestamp.is_some()
        && status.attachment.is_none()
        && status.node_name.as_ref().is_some_and(|node| node.as_str() == me)
        && status.volume.as_ref().is_none_or(|volume| volume.state != VolumeState::Deleted)
}

/// Erases the volume of a deleted Disk and says so; tries again until it is
/// done or the Disk no longer asks for it.
pub async fn erase_until_done(node: Arc<Node>, namespace: String, name: String, uid: Uid) {
    let mut failures = 0;
    loop {
        match erase(&node, &namespace, &name, &uid).await {
            Ok(()) => return,
            Err((reason, message)) => {
                node.metrics.volume_errors.get_or_create(&Reason { reason }).inc();
                tracing::warn!(disk = %uid, reason, message, "volume not erased");
            }
        }
        failures += 1;
        tokio::time::sleep(backoff::delay(failures)).await;
    }
}

async fn erase(
    node: &Node,
    namespace: &str,
    name: &str,
    uid: &Uid,
) -> Result<(), (&'static str, String)> {
    let _held = node.disks.lock(uid).await;
    let unread = |error: crate::api::ReadError| (error.reason(), error.to_string());
    let disk = node.api.read_disk(namespace, name).await.map_err(unread)?;
    let wanted = |disk: &Disk| {
        disk.uid().as_deref() == Some(uid.as_str())
            && wants_erasure(disk, node.api.me.node.as_str())
    };
    let Some(disk) = disk.filter(wanted) else { return Ok(()) };
    if node.api.crd_terminating("disks").await.map_err(unread)? {
        return Ok(());
    }
    if node.ledger.is_open(uid) {
        return Err(("VolumeInUse", "a process of this node has it open".to_owned()));
    }
    let (paths, erased) = (node.paths.clone(), uid.clone());
    tokio::task::spawn_blocking(move || volume::erase(&paths, &erased))
        .await
        .map_err(|error| ("DaemonStopping", error.to_string()))?
        .map_err(|error| (error.reason(), explain(&error)))?;
    tracing::info!(disk = %uid, "volume erased");
    let volume = Volume {
        node_name: node.api.me.node.clone(),
        state: VolumeState::Deleted,
        reason: None,
        message: None,
    };
    write(node, &disk, &volume).await.map_err(|error| (error.reason(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn decide_to_erase_only_what_was_deleted_and_is_closed() {
        let disk = |change: fn(&mut serde_json::Value)| -> Disk {
            let mut value = json!({
                "apiVersion": "suigen.dev/v1alpha1", "kind": "Disk",
                "metadata": {"name": "d", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"size": "1Gi", "diskClassName": "local"},
                "status": {"nodeName": "node-a", "volume": {"nodeName": "node-a", "state": "Ready"}},
            });
            change(&mut value);
            serde_json::from_value(value).unwrap()
        };
        assert!(wants_erasure(&disk(|_| ()), "node-a"));
        assert!(!wants_erasure(&disk(|_| ()), "node-b"));
        let kept: [fn(&mut serde_json::Value); 3] = [
            |value| value["metadata"]["deletionTimestamp"] = json!(null),
            |value| value["status"]["volume"]["state"] = json!("Deleted"),
            |value| {
                value["status"]["attachment"] = json!({
                    "serverName": "web", "serverUid": "0a000000-0000-4000-8000-00000000000f",
                    "serverEpoch": 1, "attachEpoch": 1,
                });
            },
        ];
        for change in kept {
            assert!(!wants_erasure(&disk(change), "node-a"));
        }
    }
}
