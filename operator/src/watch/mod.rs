//! Watching: a store for each kind, filled by one task a kind, which then
//! wakes what depends on the change.
//!
//! An object that cannot be read is taken out of its store and listed in
//! [`unreadable::Unreadable`]; it never stops the watch.

pub mod feed;
pub mod lookup;
pub mod unreadable;
pub mod wake;

use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::reflector::Store;
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::disk::Disk;
use suigen_crds::disk_class::DiskClass;
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::server_class::ServerClass;
use suigen_crds::server_image::ServerImage;
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;

/// What was read of every kind.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Virtual servers.
    pub servers: Store<VirtualServer>,
    /// Disks.
    pub disks: Store<Disk>,
    /// Server classes.
    pub server_classes: Store<ServerClass>,
    /// Disk classes.
    pub disk_classes: Store<DiskClass>,
    /// Server images.
    pub images: Store<ServerImage>,
    /// Hypervisors.
    pub hypervisors: Store<Hypervisor>,
    /// Tenant networks.
    pub tenant_networks: Store<TenantNetwork>,
    /// VNIs that are taken.
    pub network_segments: Store<NetworkSegment>,
    /// Interfaces of servers.
    pub network_ports: Store<NetworkPort>,
    /// Addresses that are taken.
    pub address_claims: Store<AddressClaim>,
    /// Leases of the system namespace.
    pub leases: Store<Lease>,
}
