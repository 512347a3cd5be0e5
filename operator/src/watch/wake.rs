//! Who is looked at again when something changes.

pub mod networks;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use suigen_crds::SERVER_LABEL;
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::disk::Disk;
use suigen_crds::disk_class::DiskClass;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::right::is_free;
use suigen_crds::server_class::ServerClass;
use suigen_crds::server_image::ServerImage;
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;

use super::feed::Change;
use crate::context::Context;
use crate::hypervisor::LEASE_PREFIX;

/// Queues of objects to look at, one a kind, and the servers that wait for room.
#[derive(Debug)]
pub struct Wake {
    servers: UnboundedSender<ObjectRef<VirtualServer>>,
    disks: UnboundedSender<ObjectRef<Disk>>,
    hypervisors: UnboundedSender<ObjectRef<Hypervisor>>,
    networks: UnboundedSender<ObjectRef<TenantNetwork>>,
    segments: UnboundedSender<ObjectRef<NetworkSegment>>,
    ports: UnboundedSender<ObjectRef<NetworkPort>>,
    claims: UnboundedSender<ObjectRef<AddressClaim>>,
    waiting: Mutex<BTreeSet<(String, String)>>,
}

/// The reading ends of the queues.
#[derive(Debug)]
pub struct Queues {
    /// Servers to look at.
    pub servers: UnboundedReceiver<ObjectRef<VirtualServer>>,
    /// Disks to look at.
    pub disks: UnboundedReceiver<ObjectRef<Disk>>,
    /// Hypervisors to look at.
    pub hypervisors: UnboundedReceiver<ObjectRef<Hypervisor>>,
    /// Tenant networks to look at.
    pub networks: UnboundedReceiver<ObjectRef<TenantNetwork>>,
    /// Segments to look at.
    pub segments: UnboundedReceiver<ObjectRef<NetworkSegment>>,
    /// Ports to look at.
    pub ports: UnboundedReceiver<ObjectRef<NetworkPort>>,
    /// Claims to look at.
    pub claims: UnboundedReceiver<ObjectRef<AddressClaim>>,
}

impl Wake {
    /// New queues.
    pub fn new() -> (Self, Queues) {
        let (servers, servers_out) = unbounded();
        let (disks, disks_out) = unbounded();
        let (hypervisors, hypervisors_out) = unbounded();
        let (networks, networks_out) = unbounded();
        let (segments, segments_out) = unbounded();
        let (ports, ports_out) = unbounded();
        let (claims, claims_out) = unbounded();
        let waiting = Mutex::default();
        let queues = Queues {
            servers: servers_out,
            disks: disks_out,
            hypervisors: hypervisors_out,
            networks: networks_out,
            segments: segments_out,
            ports: ports_out,
            claims: claims_out,
        };
        (Self { servers, disks, hypervisors, networks, segments, ports, claims, waiting }, queues)
    }

    /// Notes whether a server waits for room on some hypervisor.
    pub fn waits_for_room(&self, server: &VirtualServer, waits: bool) {
        let place = (server.namespace().unwrap_or_default(), server.name_any());
        if waits {
            self.waiting().insert(place);
        } else {
            self.waiting().remove(&place);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self, server: &VirtualServer) {
        // A closed queue means that the process ends.
        let _ = self.servers.unbounded_send(ObjectRef::from_obj(server));
    }

    fn server_named(&self, namespace: &str, name: &str) {
        let _ = self.servers.unbounded_send(ObjectRef::new(name).within(namespace));
    }

    fn disk(&self, disk: &Disk) {
        let _ = self.disks.unbounded_send(ObjectRef::from_obj(disk));
    }

    fn hypervisor(&self, name: &str) {
        let _ = self.hypervisors.unbounded_send(ObjectRef::new(name));
    }

    fn everyone_waiting(&self) {
        for (namespace, name) in self.waiting().iter() {
            self.server_named(namespace, name);
        }
    }
}

/// A server changed: itself, its disks on deletion, and whoever waits for the
/// room that it gave up.
pub fn on_server(ctx: &Context, change: Change<VirtualServer>) {
    let wake = &ctx.wake;
    match change {
        Change::Applied(server) => {
            wake.server(&server);
            if is_free(server.status.as_ref()) {
                wake.everyone_waiting();
            }
        }
        Change::Gone(server) => {
            wake.waits_for_room(&server, false);
            wake.everyone_waiting();
            ctx.forget(&*server);
            for disk in ctx.stores.disks.state_filter(|disk| names(disk, &server)) {
                wake.disk(&disk);
            }
            networks::of_server(ctx, &server);
        }
        Change::Listed => ctx.stores.servers.state().iter().for_each(|server| wake.server(server)),
    }
}

fn names(disk: &Disk, server: &VirtualServer) -> bool {
    disk.namespace() == server.namespace()
        && disk.status.as_ref().and_then(|status| status.attachment.as_ref()).is_some_and(
            |attachment| Some(attachment.server_uid.as_str()) == server.metadata.uid.as_deref(),
        )
}

/// A disk changed: itself and the server that it is for.
pub fn on_disk(ctx: &Context, change: Change<Disk>) {
    let wake = &ctx.wake;
    match change {
        Change::Applied(disk) => {
            wake.disk(&disk);
            servers_of(ctx, &disk);
        }
        Change::Gone(disk) => {
            servers_of(ctx, &disk);
            ctx.forget(&*disk);
            wake.everyone_waiting();
        }
        Change::Listed => ctx.stores.disks.state().iter().for_each(|disk| wake.disk(disk)),
    }
}

fn servers_of(ctx: &Context, disk: &Disk) {
    let namespace = disk.namespace().unwrap_or_default();
    if let Some(server) = disk.labels().get(SERVER_LABEL) {
        ctx.wake.server_named(&namespace, server);
    }
    let name = disk.name_any();
    let uses = |server: &VirtualServer| {
        server.namespace().as_deref() == Some(&namespace)
            && server.spec.disks.iter().any(|wanted| wanted.disk_name.as_deref() == Some(&name))
    };
    for server in ctx.stores.servers.state_filter(uses) {
        ctx.wake.server(&server);
    }
}

/// A hypervisor changed: itself, servers and disks on it, and whoever waits for
/// room.
pub fn on_hypervisor(ctx: &Context, change: Change<Hypervisor>) {
    match change {
        Change::Applied(hypervisor) | Change::Gone(hypervisor) => {
            let name = hypervisor.name_any();
            ctx.wake.hypervisor(&name);
            let hosted = |server: &VirtualServer| {
                let placement = server.status.as_ref().and_then(|s| s.placement.as_ref());
                placement.is_some_and(|placement| placement.node_name.as_str() == name)
            };
            let kept = |disk: &Disk| {
                let node = disk.status.as_ref().and_then(|status| status.node_name.as_ref());
                node.is_some_and(|node| node.as_str() == name)
            };
            ctx.stores.servers.state_filter(hosted).iter().for_each(|s| ctx.wake.server(s));
            ctx.stores.disks.state_filter(kept).iter().for_each(|d| ctx.wake.disk(d));
            networks::of_hypervisor(ctx, &hypervisor);
        }
        Change::Listed => {
            for hypervisor in ctx.stores.hypervisors.state() {
                ctx.wake.hypervisor(&hypervisor.name_any());
            }
        }
    }
    ctx.wake.everyone_waiting();
}

/// A lease changed: the hypervisor whose heartbeat it is.
pub fn on_lease(ctx: &Context, change: Change<Lease>) {
    match change {
        Change::Applied(lease) | Change::Gone(lease) => heartbeat(ctx, &lease),
        Change::Listed => ctx.stores.leases.state().iter().for_each(|l| heartbeat(ctx, l)),
    }
}

fn heartbeat(ctx: &Context, lease: &Lease) {
    let name = lease.name_any();
    if let Some(node) = name.strip_prefix(LEASE_PREFIX) {
        ctx.heartbeats.see(node, lease, jiff::Timestamp::now());
        ctx.wake.hypervisor(node);
    }
}

/// A server class changed: servers that name it.
pub fn on_server_class(ctx: &Context, change: Change<ServerClass>) {
    let (Change::Applied(class) | Change::Gone(class)) = change else {
        return on_server(ctx, Change::Listed);
    };
    let name = class.name_any();
    let uses = |server: &VirtualServer| server.spec.server_class_name == name;
    ctx.stores.servers.state_filter(uses).iter().for_each(|server| ctx.wake.server(server));
}

/// A disk class changed: disks that name it.
pub fn on_disk_class(ctx: &Context, change: Change<DiskClass>) {
    let (Change::Applied(class) | Change::Gone(class)) = change else {
        return on_disk(ctx, Change::Listed);
    };
    let name = class.name_any();
    let uses = |disk: &Disk| disk.spec.disk_class_name == name;
    ctx.stores.disks.state_filter(uses).iter().for_each(|disk| ctx.wake.disk(disk));
}

/// An image changed: disks that name it.
pub fn on_image(ctx: &Context, change: Change<ServerImage>) {
    let (Change::Applied(image) | Change::Gone(image)) = change else {
        return on_disk(ctx, Change::Listed);
    };
    let name = image.name_any();
    let uses = |disk: &Disk| disk.spec.image() == Some(name.as_str());
    ctx.stores.disks.state_filter(uses).iter().for_each(|disk| ctx.wake.disk(disk));
}
