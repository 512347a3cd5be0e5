//! What was last heard of ports, networks and tunnel ends. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use suigen_crds::hypervisor::Hypervisor;
use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::net_ident::{Address, Vni};
use suigen_crds::network_port::{Binding, NetworkPort, NetworkPortSpec, port_name};
use suigen_crds::tenant_network::{Subnet, TenantNetwork};

use super::Named;

/// All facts. Also the form in which they are kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The largest packet of the underlay that was ever seen, in bytes: what
    /// is hosted is not torn down because a link carries less for a while.
    #[serde(default)]
    pub underlay_mtu: u16,
    /// Ports by UID.
    pub ports: BTreeMap<Uid, PortFact>,
    /// Networks by UID.
    pub networks: BTreeMap<Uid, NetworkFact>,
    /// Tunnel ends by node.
    pub vteps: BTreeMap<NodeName, Address>,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortFact {
    /// Its namespace.
    pub namespace: String,
    /// What it is; its binding is the one with the highest epoch heard of.
    pub spec: NetworkPortSpec,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// Whether it is there.
    pub presence: Presence,
}

/// Whether a port is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// It is.
    Present,
    /// It is being deleted.
    Terminating,
    /// It is being deleted, and this node gave it up.
    Removed,
    /// There is no such object.
    Gone,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkFact {
    /// Its namespace.
    pub namespace: String,
    /// Its identifier on the underlay.
    pub vni: Vni,
    /// The largest packet that a guest may send, in bytes.
    pub mtu: u16,
    /// Its subnets.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// Whether this node hosts it.
    pub hosting: Hosting,
}

/// Whether this node hosts a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hosting {
    /// It does not.
    No,
    /// A port of it is here.
    Yes,
    /// The last port of it left then; it stays for a while.
    Left(Time),
}

impl PortFact {
    /// The object's name.
    #[must_use]
    pub fn named(&self) -> Named {
        let name = port_name(&self.spec.server_name, &self.spec.interface_name);
        Named { namespace: self.namespace.clone(), name }
    }

    /// Whether it is bound to this node.
    #[must_use]
    pub fn is_bound_to(&self, node: &NodeName) -> bool {
        self.spec.binding.as_ref().is_some_and(|binding| binding.node_name == *node)
    }
}

impl Facts {
    /// Hears of a port. A binding under a lower epoch than the known one is
    /// old news.
    pub fn hear_port(&mut self, port: &NetworkPort) {
        let Some(uid) = uid(port) else { return };
        let mut spec = port.spec.clone();
        let mut presence = if port.metadata.deletion_timestamp.is_some() {
            Presence::Terminating
        } else {
            Presence::Present
        };
        if let Some(known) = self.ports.get(&uid) {
            if older(spec.binding.as_ref(), known.spec.binding.as_ref()) {
                spec.binding.clone_from(&known.spec.binding);
            }
            presence = later(known.presence, presence);
        }
        let fact = PortFact {
            namespace: port.namespace().unwrap_or_default(),
            spec,
            created: port.metadata.creation_timestamp.clone(),
            presence,
        };
        self.ports.insert(uid, fact);
    }

    /// Hears that there is no such port: it goes when no process uses it.
    pub fn hear_no_port(&mut self, uid: &Uid) {
        if let Some(port) = self.ports.get_mut(uid) {
            port.presence = Presence::Gone;
        }
    }

    /// Hears of a network; one that has no VNI or MTU yet says nothing.
    pub fn hear_network(&mut self, network: &TenantNetwork) {
        let status = network.status.as_ref();
        let (Some(uid), Some(vni), Some(mtu)) = (
            uid(network),
            status.and_then(|status| status.vni),
            status.and_then(|status| u16::try_from(status.mtu?).ok()),
        ) else {
            return;
        };
        let hosting = self.networks.get(&uid).map_or(Hosting::No, |known| known.hosting.clone());
        let namespace = network.namespace().unwrap_or_default();
        let subnets = network.spec.subnets.clone();
        self.networks.insert(uid, NetworkFact { namespace, vni, mtu, subnets, hosting });
    }

    /// Hears of a hypervisor; one that says nothing of tunnels changes nothing.
    pub fn hear_hypervisor(&mut self, hypervisor: &Hypervisor) {
        let underlay = hypervisor.status.as_ref().and_then(|status| status.underlay.as_ref());
        if let Some(underlay) = underlay
            && let Ok(node) = NodeName::try_from(hypervisor.name_any())
        {
            self.vteps.insert(node, underlay.address);
        }
    }

    /// The namespaces that matter to a node: of its ports, and of the networks
    /// that it hosts.
    #[must_use]
    pub fn namespaces(&self, node: &NodeName) -> BTreeSet<String> {
        let ports = self.ports.values().filter(|port| port.is_bound_to(node));
        let networks = self.networks.values().filter(|network| network.hosting != Hosting::No);
        ports
            .map(|port| port.namespace.clone())
            .chain(networks.map(|network| network.namespace.clone()))
            .collect()
    }

    /// The facts without which the node would host less.
    #[must_use]
    pub fn worth_keeping(&self, node: &NodeName) -> Self {
        let mut kept = self.clone();
        kept.networks.retain(|_, network| network.hosting != Hosting::No);
        let networks = &kept.networks;
        kept.ports.retain(|_, port| {
            port.is_bound_to(node) || networks.contains_key(&port.spec.network_uid)
        });
        let ports = &kept.ports;
        let bound = |node: &NodeName| ports.values().any(|port| port.is_bound_to(node));
        kept.vteps.retain(|node, _| bound(node));
        kept
    }
}

/// What is being deleted stays so, and what was given up is not taken again.
const fn later(known: Presence, heard: Presence) -> Presence {
    match known {
        Presence::Present | Presence::Gone => heard,
        Presence::Terminating | Presence::Removed => known,
    }
}

fn older(heard: Option<&Binding>, known: Option<&Binding>) -> bool {
    match (heard, known) {
        (Some(heard), Some(known)) => heard.epoch < known.epoch,
        (None, known) => known.is_some(),
        (Some(_), None) => false,
    }
}

/// The UID of an object.
pub fn uid(object: &impl ResourceExt) -> Option<Uid> {
    object.uid().and_then(|uid| Uid::try_from(uid).ok())
}
