//! AddressClaim: an address of a network that is taken.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::ident::Uid;
use crate::net_ident::Address;

/// Whose address it is. Created by the operator, never changed: the uniqueness
/// of the name is what allocates the address.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "AddressClaim",
    plural = "addressclaims",
    shortname = "aclaim",
    category = "suigen",
    namespaced,
    doc = "An AddressClaim is an address of a TenantNetwork that is taken: its name, <network>.<address>, is the claim. Written by the operator alone.",
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.tenantNetworkName"),
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "Port", type_ = "string", json_path = ".spec.portName"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name == self.spec.tenantNetworkName + '.' + self.spec.address").message("the name of an AddressClaim is <network>.<address>"),
    validation = Rule::new("self.spec == oldSelf.spec").message("an AddressClaim is created and deleted, never changed")
)]
#[serde(rename_all = "camelCase")]
pub struct AddressClaimSpec {
    /// The network's name.
    #[schemars(length(min = 1, max = 63))]
    pub tenant_network_name: String,
    /// The network's UID.
    pub network_uid: Uid,
    /// The address that is taken.
    pub address: Address,
    /// The NetworkPort that has it, which may be yet to come.
    #[schemars(length(min = 1, max = 80))]
    pub port_name: String,
    /// The UID of the server that the port is for.
    pub server_uid: Uid,
}

/// The name of the claim on an address. A network's name has no dot, so no two
/// addresses share one.
#[must_use]
pub fn claim_name(network: &str, address: Address) -> String {
    format!("{network}.{address}")
}
