//! What follows from facts as time passes and processes end. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::net_ident::Vni;

use super::facts::{Facts, Hosting, PortFact, Presence};

/// For how long a network stays here after its last port left: a server that
/// comes back finds it, and frames that are under way meet nobody else.
pub const GRACE: SignedDuration = SignedDuration::from_secs(120);

/// This node, at one moment.
#[derive(Debug, Clone)]
pub struct Here {
    /// Its name.
    pub node: NodeName,
    /// The servers that have a process here; none where nobody could look, so
    /// that every server may have one.
    pub residents: Option<BTreeSet<Uid>>,
    /// Networks whose VNI is being released.
    pub releasing: BTreeMap<Uid, Vni>,
    /// The moment.
    pub now: Timestamp,
}

impl Here {
    fn may_live(&self, server: &Uid) -> bool {
        self.residents.as_ref().is_none_or(|residents| residents.contains(server))
    }

    /// Whether the node has, or is to have, the tap of a port.
    #[must_use]
    pub fn has(&self, port: &PortFact) -> bool {
        port.is_bound_to(&self.node) && port.presence != Presence::Removed
    }
}

impl Facts {
    /// Whether a port waits for the end of a process.
    #[must_use]
    pub fn waits_for_processes(&self, node: &NodeName) -> bool {
        let leaves = |port: &PortFact| {
            matches!(port.presence, Presence::Terminating | Presence::Gone)
                && port.is_bound_to(node)
        };
        self.ports.values().any(leaves)
    }

    /// Lets go of what nothing needs any more.
    pub fn age(&mut self, here: &Here) {
        self.let_ports_go(here);
        let hosts: BTreeSet<Uid> = self
            .ports
            .values()
            .filter(|port| here.has(port))
            .map(|port| port.spec.network_uid.clone())
            .collect();
        for (uid, network) in &mut self.networks {
            network.hosting = match &network.hosting {
                _ if hosts.contains(uid) => Hosting::Yes,
                _ if here.releasing.get(uid) == Some(&network.vni) => Hosting::No,
                Hosting::Yes => Hosting::Left(Time(here.now)),
                Hosting::Left(since) if here.now.duration_since(since.0) >= GRACE => Hosting::No,
                same => same.clone(),
            };
        }
        let namespaces = self.namespaces(&here.node);
        self.networks.retain(|_, network| namespaces.contains(&network.namespace));
        self.ports.retain(|_, port| namespaces.contains(&port.namespace));
    }

    fn let_ports_go(&mut self, here: &Here) {
        for port in self.ports.values_mut() {
            let leaves = port.presence == Presence::Terminating && port.is_bound_to(&here.node);
            if leaves && !here.may_live(&port.spec.server_uid) {
                port.presence = Presence::Removed;
            }
        }
        self.ports.retain(|_, port| {
            port.presence != Presence::Gone
                || (port.is_bound_to(&here.node) && here.may_live(&port.spec.server_uid))
        });
    }

    /// When the next network's time here is over.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        let end = |hosting: &Hosting| match hosting {
            Hosting::Left(since) => since.0.checked_add(GRACE).ok(),
            Hosting::No | Hosting::Yes => None,
        };
        self.networks.values().filter_map(|network| end(&network.hosting)).min()
    }
}

#[cfg(test)]
#[path = "age_tests.rs"]
mod tests;
