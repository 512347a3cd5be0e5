//! TenantNetwork: one layer-2 network of a tenant.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::net_ident::{Address, Cidr, Vni};

/// What VXLAN adds to a tenant's packet over IPv4, in bytes: outer IPv4 (20),
/// UDP (8), VXLAN (8) and the inner Ethernet header (14) (RFC 7348).
pub const OVERHEAD: u16 = 50;

/// What the tenant wants.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "TenantNetwork",
    plural = "tenantnetworks",
    shortname = "tnet",
    category = "suigen",
    namespaced,
    status = "TenantNetworkStatus",
    doc = "A TenantNetwork is one layer-2 network of a tenant. Nothing of it is seen by any other network, whatever addresses they use.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Subnet", type_ = "string", json_path = ".spec.subnets[0].cidr"),
    printcolumn(name = "Ports", type_ = "integer", json_path = ".status.ports"),
    printcolumn(name = "Free", type_ = "integer", json_path = ".status.freeAddresses"),
    printcolumn(name = "MTU", type_ = "integer", json_path = ".status.mtu", priority = 1),
    printcolumn(name = "VNI", type_ = "integer", json_path = ".status.vni", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message("the name of a TenantNetwork has at most 63 characters, no dots"),
    validation = Rule::new("!has(oldSelf.status) || has(self.status)").message("status holds the network's VNI: it is changed, never removed")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.mtu) ? self.mtu : 0) == (has(oldSelf.mtu) ? oldSelf.mtu : 0)").message("mtu cannot be changed: create another TenantNetwork").field_path(".mtu"),
    validation = Rule::new("!has(oldSelf.subnets) || (has(self.subnets) && oldSelf.subnets.all(o, self.subnets.exists(s, s.name == o.name && s.cidr == o.cidr && (has(s.gateway) ? s.gateway : '') == (has(o.gateway) ? o.gateway : ''))))").message("a subnet cannot be removed, nor its cidr or gateway changed, since servers may use its addresses: add a subnet, or create another TenantNetwork"),
    validation = Rule::new("!has(self.subnets) || self.subnets.all(a, self.subnets.all(b, a.name == b.name || !isCIDR(a.cidr) || !isCIDR(b.cidr) || !(cidr(a.cidr).containsCIDR(b.cidr) || cidr(b.cidr).containsCIDR(a.cidr))))").message("the subnets of a network must not overlap").field_path(".subnets")
)]
pub struct TenantNetworkSpec {
    /// The network's subnets, IPv4 for now. None: pure layer 2, where guests
    /// have the addresses that they give themselves and no DHCP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub subnets: Vec<Subnet>,
    /// The largest packet that a guest may send, in bytes. Absent: what the
    /// tunnels of all hypervisors carry when the network is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 576, max = 9450))]
    pub mtu: Option<i32>,
}

/// A range of addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("isCIDR(self.cidr)").message("cidr must be an address and the length of its prefix, such as 10.20.0.0/24").field_path(".cidr"),
    validation = Rule::new("!isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 4").message("only IPv4 subnets are supported yet").field_path(".cidr"),
    validation = Rule::new("!isCIDR(self.cidr) || cidr(self.cidr).ip().family() != 4 || (cidr(self.cidr).prefixLength() >= 8 && cidr(self.cidr).prefixLength() <= 30)").message("the prefix of a subnet has 8 to 30 bits").field_path(".cidr"),
    validation = Rule::new("!isCIDR(self.cidr) || cidr(self.cidr) == cidr(self.cidr).masked()").message("cidr has bits set after its prefix: write the first address of the subnet, such as 10.20.0.0/24").field_path(".cidr"),
    validation = Rule::new("!isCIDR(self.cidr) || ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].all(r, !cidr(r).containsCIDR(self.cidr))").message("no subnet within 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 or 224.0.0.0/3: these have a meaning of their own").field_path(".cidr"),
    validation = Rule::new("!has(self.gateway) || !isCIDR(self.cidr) || (isIP(self.gateway) && cidr(self.cidr).containsIP(self.gateway))").message("gateway must be an address of the subnet").field_path(".gateway"),
    validation = Rule::new("!has(self.nameservers) || self.nameservers.all(n, isIP(n) && ip(n).family() == 4)").message("nameservers are IPv4 addresses").field_path(".nameservers")
)]
pub struct Subnet {
    /// What the subnet is called within the network.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its prefix, such as `10.20.0.0/24`.
    pub cidr: Cidr,
    /// The address of the router, told by DHCP. Never given to a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Address>,
    /// The addresses of the resolvers, told by DHCP. Running guests hear of a
    /// change when they renew their lease.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "atomic"))]
    pub nameservers: Vec<Address>,
}

/// What is known of the network. Written by the operator.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(oldSelf.vni) || (has(self.vni) && self.vni == oldSelf.vni)").message("the VNI of a network never changes"),
    validation = Rule::new("!has(oldSelf.mtu) || (has(self.mtu) && self.mtu == oldSelf.mtu)").message("the MTU of a network never changes")
)]
pub struct TenantNetworkStatus {
    /// The generation of the spec that the operator acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The identifier of its frames on the underlay: the NetworkSegment
    /// `vni-<vni>` says that it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<Vni>,
    /// The largest packet that a guest may send, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// How many interfaces of servers are in it. Written at most every 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<i32>,
    /// How many addresses of its subnets are free. Written at most every 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_addresses: Option<i64>,
    /// `Ready`: servers can be attached. `Reconciling` while it is worked on,
    /// `Stalled` when a person must act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A TenantNetwork, from an object that another namespace or no namespace has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkReference {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its UID: it tells the network from a later one of the same name.
    pub uid: crate::ident::Uid,
}
