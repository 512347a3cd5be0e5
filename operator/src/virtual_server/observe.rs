//! What a look at a server takes in.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use suigen_crds::condition::{Status, find};
use suigen_crds::disk::Disk;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::ident::Uid;
use suigen_crds::right::is_released;
use suigen_crds::server_class::ServerClass;
use suigen_crds::virtual_server::{
    PowerState, RuntimeState, ServerDisk, VirtualServer, VirtualServerStatus,
};

use super::interfaces::choose::Own;
use super::interfaces::{self, Interfaces};
use crate::context::Context;
use crate::finalizer::{Deletion, deletion as read_deletion};
use crate::memory::Refusal;
use crate::placement::Fleet;
use crate::placement::fleet::{Sources, count};
use crate::placement::ledger::Ledger;
use crate::watch::lookup::{Lookup, lookup};
use crate::write;

/// On a Disk that was made for a server: the UID of that server.
pub const MADE_FOR: &str = "suigen.dev/made-for-uid";

/// A server and all that a decision on it depends on.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The object.
    pub server: Arc<VirtualServer>,
    /// What its deletion timestamp means.
    pub deletion: Deletion,
    /// Its class.
    pub class: Lookup<ServerClass>,
    /// Its disks, the boot disk first, then in the order of the spec.
    pub disks: Vec<Wanted>,
    /// Every disk that was made for it or is attached to it.
    pub held: Vec<Arc<Disk>>,
    /// Its network interfaces.
    pub interfaces: Interfaces,
    /// The hypervisor that it is placed on.
    pub host: Host,
    /// Every hypervisor; only looked at when it is to be placed.
    pub fleet: Fleet,
    /// Hypervisors that refused it lately.
    pub refusals: Vec<Refusal>,
    /// Whether a store does not show our last write yet.
    pub behind: bool,
}

/// One disk of the spec.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What the spec says.
    pub entry: ServerDisk,
    /// The Disk's name.
    pub name: String,
    /// What that name leads to.
    pub disk: Lookup<Disk>,
    /// Whether it is promised to another server whose placement is under way.
    pub promised: bool,
}

/// The hypervisor that a server is placed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// It is not placed.
    None,
    /// Its daemon is heard of.
    Heard,
    /// Its daemon is silent, or the Hypervisor is gone.
    Silent,
}

impl Observed {
    /// The stored status, empty where there is none.
    pub fn status(&self) -> VirtualServerStatus {
        self.server.status.clone().unwrap_or_default()
    }
}

/// Reads the CRD when the server is being deleted.
///
/// # Errors
/// When the CRD cannot be read.
pub async fn deletion(server: &VirtualServer, ctx: &Context) -> Result<Deletion, write::Error> {
    if server.metadata.deletion_timestamp.is_none() {
        return Ok(Deletion::No);
    }
    let terminating = ctx
        .crd_is_terminating("virtualservers")
        .await
        .map_err(|error| write::Error::of("read the CRD of", write::name_of(server), error))?;
    Ok(read_deletion(server, terminating))
}

/// Gathers from the stores and from memory.
pub fn gather(
    server: Arc<VirtualServer>,
    deletion: Deletion,
    now: Timestamp,
    ctx: &Context,
    ledger: &mut Ledger,
) -> Observed {
    let uid = server.metadata.uid.clone().unwrap_or_default();
    let class = &server.spec.server_class_name;
    let class = lookup(&ctx.stores.server_classes, &ctx.unreadable, "", class);
    note_refusal(&server, &uid, now, ctx);
    let refusals = ctx.refusals.pending(&uid, now);
    let own = Uid::try_from(uid).ok();
    let needs_room = deletion == Deletion::No
        && server.spec.power_state == PowerState::PoweredOn
        && suigen_crds::right::is_free(server.status.as_ref());
    let fleet = match &own {
        Some(own) if needs_room => fleet(own, ctx, ledger),
        Some(_) | None => Fleet::default(),
    };
    let disks = own.as_ref().map(|own| wanted(&server, own, ctx, ledger)).unwrap_or_default();
    let held = own.as_ref().map(|own| held(&server, own, ctx)).unwrap_or_default();
    let interfaces = own.as_ref().map(|own| networks(&server, own, ctx, ledger, now));
    let interfaces = interfaces.unwrap_or_default();
    let behind = disks.iter().filter_map(|wanted| wanted.disk.found()).chain(&held);
    let behind = behind.map(|disk| &disk.metadata).any(|meta| ctx.written.is_behind(meta));
    let namespace = server.namespace().unwrap_or_default();
    let behind = behind
        || interfaces.behind
        || disks.iter().any(|wanted| {
            matches!(wanted.disk, Lookup::Missing)
                && ctx.created.is_awaited(&namespace, &wanted.name, now)
        });
    Observed {
        deletion,
        class,
        disks,
        held,
        interfaces,
        host: host(&server, ctx),
        fleet,
        refusals,
        behind,
        server,
    }
}

fn networks(
    server: &VirtualServer,
    uid: &Uid,
    ctx: &Context,
    ledger: &Ledger,
    now: Timestamp,
) -> Interfaces {
    let (namespace, name) = (server.namespace().unwrap_or_default(), server.name_any());
    let own = Own { namespace: &namespace, name: &name, uid };
    let sources = interfaces::observe::Sources::of(ctx);
    interfaces::observe::gather(server, &own, &sources, ledger, now)
}

fn note_refusal(server: &VirtualServer, uid: &str, now: Timestamp, ctx: &Context) {
    let Some(status) = &server.status else { return };
    let (Some(placement), Some(runtime)) = (&status.placement, &status.runtime) else { return };
    match runtime.state {
        RuntimeState::Refused if is_released(placement, Some(runtime)) => {
            ctx.refusals.note(uid, runtime, now);
        }
        RuntimeState::Running => ctx.refusals.forget(uid),
        _ => {}
    }
}

fn fleet(own: &Uid, ctx: &Context, ledger: &mut Ledger) -> Fleet {
    let all = ctx.stores.servers.state();
    if !ledger.is_empty() {
        ledger.settle(|uid| {
            let shown = all.iter().find(|s| s.metadata.uid.as_deref() == Some(uid.as_str()))?;
            shown.resource_version()
        });
    }
    let others = |server: &Arc<VirtualServer>| server.metadata.uid.as_deref() != Some(own.as_str());
    let servers: Vec<_> = all.into_iter().filter(others).collect();
    count(&Sources {
        hypervisors: &ctx.stores.hypervisors.state(),
        servers: &servers,
        disks: &ctx.stores.disks.state(),
        promises: ledger.others(own).collect(),
        blind: ctx.unreadable.blind_nodes(),
    })
}

/// The name of a disk of a server.
pub fn disk_name(server: &VirtualServer, entry: &ServerDisk) -> String {
    let made = || format!("{}-{}", server.name_any(), entry.name);
    entry.disk_name.clone().unwrap_or_else(made)
}

fn wanted(server: &VirtualServer, own: &Uid, ctx: &Context, ledger: &Ledger) -> Vec<Wanted> {
    let namespace = server.namespace().unwrap_or_default();
    let mut entries: Vec<_> = server.spec.disks.iter().collect();
    entries.sort_by_key(|entry| entry.name != server.spec.boot_disk_name);
    entries
        .into_iter()
        .map(|entry| {
            let name = disk_name(server, entry);
            let disk = lookup(&ctx.stores.disks, &ctx.unreadable, &namespace, &name);
            let uid = disk.found().and_then(|disk| disk.metadata.uid.as_deref());
            let promised = ledger
                .others(own)
                .any(|promise| promise.disks.iter().any(|d| Some(d.as_str()) == uid));
            Wanted { entry: entry.clone(), name, disk, promised }
        })
        .collect()
}

fn held(server: &VirtualServer, own: &Uid, ctx: &Context) -> Vec<Arc<Disk>> {
    if server.metadata.deletion_timestamp.is_none() {
        return Vec::new();
    }
    let namespace = server.namespace();
    ctx.stores.disks.state_filter(|disk| {
        let attachment = disk.status.as_ref().and_then(|status| status.attachment.as_ref());
        disk.namespace() == namespace
            && (disk.annotations().get(MADE_FOR).is_some_and(|uid| uid == own.as_str())
                || attachment.is_some_and(|attachment| attachment.server_uid == *own))
    })
}

fn host(server: &VirtualServer, ctx: &Context) -> Host {
    let placement = server.status.as_ref().and_then(|status| status.placement.as_ref());
    let Some(placement) = placement else { return Host::None };
    let reference = ObjectRef::new(placement.node_name.as_str());
    let hypervisor = ctx.stores.hypervisors.get(&reference);
    match hypervisor.as_deref().map(is_silent) {
        Some(false) => Host::Heard,
        Some(true) | None => Host::Silent,
    }
}

/// Not qualified is not silent: what runs there is still reported.
fn is_silent(hypervisor: &Hypervisor) -> bool {
    let conditions = hypervisor.status.as_ref().map_or(&[][..], |status| &status.conditions);
    find(conditions, "Ready").is_none_or(|ready| ready.status == Status::Unknown)
}
