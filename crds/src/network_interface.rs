//! The network interfaces of servers: as wanted, and as given.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ident::Uid;
use crate::net_ident::{Address, MacAddress, Vni};

/// One network interface of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.addresses) || self.addresses.all(a, isIP(a) && ip(a).family() == 4)").message("addresses are IPv4 addresses such as 10.20.0.10").field_path(".addresses"),
    validation = Rule::new("!has(self.macAddress) || !self.macAddress.matches('^(.[13579bdf]|0e:53:55:49|00:00:00:00:00:00)')").message("macAddress must be the address of one interface: not a group's (an odd first byte), not zero, and not within 0e:53:55:49, which Suigen uses itself").field_path(".macAddress")
)]
pub struct NetworkInterface {
    /// What the interface is called within the server.
    #[schemars(length(min = 1, max = 15), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The TenantNetwork, of the same namespace, that it is in.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub tenant_network_name: String,
    /// Addresses that it is to have, at most one of each subnet. Absent: one of
    /// the first subnet that has a free one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<Address>,
    /// The MAC address that it is to have. Absent: one that follows from the
    /// names of network, server and interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<MacAddress>,
}

/// One interface with what it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacedInterface {
    /// What the server calls it.
    #[schemars(length(max = 15))]
    pub name: String,
    /// The network's name.
    #[schemars(length(max = 63))]
    pub tenant_network_name: String,
    /// The network's UID.
    pub network_uid: Uid,
    /// The network's identifier on the underlay.
    pub vni: Vni,
    /// The largest packet that the guest may send, in bytes.
    #[schemars(range(min = 576, max = 9450))]
    pub mtu: i32,
    /// Its MAC address.
    pub mac_address: MacAddress,
    /// Its addresses; none in a network without subnets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<Address>,
}
