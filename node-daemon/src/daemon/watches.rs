//! The watches, and whom they wake.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use suigen_crds::disk::Disk;
use suigen_crds::ident::Uid;
use suigen_crds::virtual_server::VirtualServer;
use tokio_util::task::TaskTracker;

use crate::api::watch::Seen;
use crate::disk::{erase_until_done, wants_erasure};
use crate::report::runtime::explain;
use crate::storage::image;
use crate::vm::event::{Event, Glimpse};
use crate::vm::node::Node;
use crate::vm::registry::Registry;

/// How often unused images are looked for.
const SWEEP: Duration = Duration::from_secs(300);

/// Watches servers and disks of this node until the daemon stops.
pub async fn watch(registry: Registry) {
    let node = registry.node().clone();
    let me = node.api.me.node.clone();
    let stop = node.stop.clone();
    let servers = {
        let mut listing = HashSet::new();
        let registry = registry.clone();
        let fields = format!("status.placement.nodeName={me}");
        let api = node.api.clone();
        let stop = stop.clone();
        async move {
            api.watch::<VirtualServer>(&fields, stop, |seen| {
                server_seen(&registry, &mut listing, seen);
            })
            .await;
        }
    };
    let erasures = Erasures::default();
    let fields = format!("status.nodeName={me}");
    let disks = node.api.watch::<Disk>(&fields, stop, |seen| {
        disk_seen(&registry, &erasures, seen);
    });
    tokio::join!(servers, disks);
    erasures.tasks.close();
    erasures.tasks.wait().await;
}

fn server_seen(registry: &Registry, listing: &mut HashSet<Uid>, seen: Seen<VirtualServer>) {
    match seen {
        Seen::Object(object) => {
            let Some(uid) = parse(object.uid()) else { return };
            listing.insert(uid.clone());
            registry.tell(&uid, Event::ObjectSeen(Box::new(Glimpse::of(&object))));
        }
        Seen::Malformed { uid } | Seen::Left { uid } => {
            let Some(uid) = parse(uid) else { return };
            listing.remove(&uid);
            registry.tell_known(&uid, Event::Woken);
        }
        Seen::Listing => listing.clear(),
        // What left while nobody watched was not named.
        Seen::Listed => registry.wake_others(&std::mem::take(listing)),
    }
}

/// Erasures that are under way.
#[derive(Debug, Default)]
struct Erasures {
    tasks: TaskTracker,
    disks: Arc<Mutex<HashSet<Uid>>>,
}

impl Erasures {
    fn begin(&self, node: &Arc<Node>, disk: &Disk, uid: Uid) {
        if !self.disks.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone()) {
            return;
        }
        let (node, disks) = (node.clone(), self.disks.clone());
        let (namespace, name) = (disk.namespace().unwrap_or_default(), disk.name_any());
        self.tasks.spawn(async move {
            let stop = node.stop.clone();
            stop.run_until_cancelled(erase_until_done(node, namespace, name, uid.clone())).await;
            disks.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        });
    }
}

fn disk_seen(registry: &Registry, erasures: &Erasures, seen: Seen<Disk>) {
    let Seen::Object(disk) = seen else { return };
    let node = registry.node();
    let attachment = disk.status.as_ref().and_then(|status| status.attachment.as_ref());
    if let Some(attachment) = attachment {
        registry.tell_known(&attachment.server_uid, Event::DiskSeen);
    }
    if wants_erasure(&disk, node.api.me.node.as_str())
        && let Some(uid) = parse(disk.uid())
    {
        erasures.begin(node, &disk, uid);
    }
}

fn parse(uid: Option<String>) -> Option<Uid> {
    uid.and_then(|uid| Uid::try_from(uid).ok())
}

/// Removes images that no volume uses, some time after the last use.
pub async fn sweep_images(node: Arc<Node>, retention_seconds: u64) {
    let retention = Duration::from_secs(retention_seconds);
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(tool) = node.tool.get().cloned() else { continue };
        let swept = tokio::task::spawn_blocking(move || image::collect(&tool, retention)).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(error = %explain(&error), "unused images not removed");
        }
    }
}
