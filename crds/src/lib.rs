//! The Suigen API, `suigen.dev/v1alpha1`: types, identifiers and pure rules.
//!
//! This crate knows neither a client nor a runtime. The CRDs in
//! `charts/suigen-crds` are generated from it by `crdgen`; each kind is a file:
//!
//! | kind | file | written by |
//! |---|---|---|
//! | VirtualServer | [`virtual_server`] | spec: tenant; status: operator, but `runtime`: node-daemon |
//! | Disk | [`disk`] | spec: tenant; status: operator, but `volume`: node-daemon |
//! | ServerClass, DiskClass, ServerImage | [`server_class`], [`disk_class`], [`server_image`] | provider |
//! | TenantNetwork | [`tenant_network`] | spec: tenant; status: operator |
//! | NetworkPort | [`network_port`] | spec: operator; status: node-daemon |
//! | NetworkSegment, AddressClaim | [`network_segment`], [`address_claim`] | operator, but `tornDown`: node-daemons |
//! | Hypervisor | [`hypervisor`] | spec: provider; status: node-daemon, but condition `Ready`: operator |

// The columns of a CRD are attributes, and columns may be alike.
#![allow(clippy::duplicated_attributes)]

pub mod address_claim;
pub mod condition;
pub mod disk;
pub mod disk_class;
pub mod hypervisor;
pub mod ident;
pub mod net_ident;
pub mod network_interface;
pub mod network_port;
pub mod network_segment;
pub mod quantity;
pub mod reference;
pub mod right;
pub mod schema;
pub mod server_class;
pub mod server_image;
pub mod tenant_network;
pub mod virtual_server;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::crd::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "suigen.dev";
/// The one served version. Changes to it are additive only.
pub const VERSION: &str = "v1alpha1";
/// Held by the operator on a VirtualServer until its run right is released,
/// on a Disk until its volume is gone.
pub const FINALIZER: &str = "suigen.dev/release";
/// Label on everything made for a server: the server's name.
pub const SERVER_LABEL: &str = "suigen.dev/virtual-server";
/// Annotation on each CRD: the version of the schema, compared at start-up
/// with the one a binary was built for.
pub const SCHEMA_ANNOTATION: &str = "suigen.dev/schema";
/// The schema version of this build. Raise it with every change of a CRD.
pub const SCHEMA_VERSION: u32 = 2;
/// The audience of the token with which a node-daemon and a console user
/// address the operator: a token made for the API server is useless there.
pub const OPERATOR_AUDIENCE: &str = "suigen-operator";

/// Every CRD, as it is installed.
///
/// # Errors
/// When a derived schema is not the JSON shape that the finishing touches of
/// [`schema`] expect; a test holds that this does not happen.
pub fn all_crds() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [
        virtual_server::VirtualServer::crd(),
        disk::Disk::crd(),
        server_class::ServerClass::crd(),
        disk_class::DiskClass::crd(),
        server_image::ServerImage::crd(),
        hypervisor::Hypervisor::crd(),
        tenant_network::TenantNetwork::crd(),
        network_segment::NetworkSegment::crd(),
        network_port::NetworkPort::crd(),
        address_claim::AddressClaim::crd(),
    ]
    .into_iter()
    .map(schema::finish)
    .collect()
}
