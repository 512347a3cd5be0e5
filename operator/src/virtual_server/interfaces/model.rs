//! An API server of the size that these tests need: names are unique, and a
//! write that carries a version fails when it is not the present one. What a
//! look takes in is gathered by the same code as in the operator.

use std::collections::BTreeMap;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use suigen_crds::FINALIZER;
use suigen_crds::address_claim::{AddressClaim, AddressClaimSpec, claim_name};
use suigen_crds::ident::Uid;
use suigen_crds::network_port::{NetworkPort, port_name};
use suigen_crds::network_segment::{NetworkSegment, SegmentPhase, segment_name};
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;

use super::observe::{Sources, gather};
use super::wiring::{NewHost, PortStep, is_usable};
use super::{Interfaces, Taken, Wanted};
use crate::fixtures::{self, all, disk, hypervisor, observed};
use crate::memory::{Created, Written};
use crate::placement::fleet::{Sources as FleetSources, count};
use crate::placement::ledger::Ledger;
use crate::virtual_server::decide::own;
use crate::virtual_server::observe::Observed;
use crate::virtual_server::plan::{NewRight, Step};
use crate::watch::lookup::Lookup;
use crate::watch::unreadable::Unreadable;

/// Everything that is stored.
#[derive(Debug, Clone)]
pub struct Api {
    version: u64,
    pub networks: BTreeMap<String, TenantNetwork>,
    pub segments: BTreeMap<String, NetworkSegment>,
    pub ports: BTreeMap<String, NetworkPort>,
    pub claims: BTreeMap<String, AddressClaim>,
    pub servers: BTreeMap<String, VirtualServer>,
}

/// Why something was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// The UID of the n-th object.
pub fn uid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// What makes a network ready.
pub fn ready(status: &str) -> Value {
    let conditions = json!([{"type": "Ready", "status": status, "reason": "R",
        "message": "it is looked at", "lastTransitionTime": Timestamp::UNIX_EPOCH}]);
    json!({"status": {"vni": 5000, "mtu": 1450, "conditions": conditions}})
}

/// What a node needs to host interfaces.
pub fn wired() -> Value {
    let names = ["cgroup-cpu", "cgroup-memory", "vxlan", "bridge", "tap", "nftables"];
    let feature = |name: &&str| json!({"name": name, "state": "Present", "neededFor": "x"});
    let features: Vec<_> = names.iter().map(feature).collect();
    json!({"status": {"features": features, "underlay": {"address": "192.0.2.1", "mtu": 1500}}})
}

impl Api {
    /// A network `blue` that is ready, and its segment.
    pub fn new() -> Self {
        let network = fixtures::network(ready("True"));
        let segment = fixtures::segment(json!({}));
        Self {
            version: 100,
            networks: BTreeMap::from([(network.name_any(), network)]),
            segments: BTreeMap::from([(segment.name_any(), segment)]),
            ports: BTreeMap::new(),
            claims: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }

    /// A server with these interfaces.
    pub fn add(&mut self, name: &str, interfaces: &Value) {
        let number = u64::try_from(self.servers.len()).unwrap();
        let with = json!({
            "metadata": {"name": name, "uid": uid(number), "resourceVersion": self.next()},
            "spec": {"networkInterfaces": interfaces},
        });
        self.servers.insert(name.to_owned(), fixtures::server(with));
    }

    /// Changes a server as somebody else would.
    pub fn change(&mut self, name: &str, with: Value) {
        let version = json!({"metadata": {"resourceVersion": self.next()}});
        let mut server = serde_json::to_value(&self.servers[name]).unwrap();
        fixtures::over(&mut server, all([with, version]));
        self.servers.insert(name.to_owned(), serde_json::from_value(server).unwrap());
    }

    fn next(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// What an operator sees whose stores are as this.
    pub fn look(&self, name: &str, ledger: &mut Ledger) -> Observed {
        let server = self.servers[name].clone();
        let made_for = json!({crate::virtual_server::observe::MADE_FOR: server.metadata.uid});
        let with = json!({"metadata": {"name": format!("{name}-root"), "annotations": made_for}});
        let mut look = observed(server.clone(), Some(disk(with)));
        let nodes = ["node-a", "node-b"].map(|node| hypervisor(node, wired()).into());
        look.fleet = count(&FleetSources {
            hypervisors: &nodes,
            servers: &[],
            disks: &[],
            promises: Vec::new(),
            blind: BTreeMap::new(),
        });
        ledger.settle(|uid| {
            let shown = self.servers.values().find(|s| s.uid().as_deref() == Some(uid.as_str()))?;
            shown.resource_version()
        });
        let uid = Uid::try_from(server.uid().unwrap()).unwrap();
        let sources = Sources {
            networks: &stored(&self.networks),
            segments: &stored(&self.segments),
            ports: &stored(&self.ports),
            claims: &stored(&self.claims),
            servers: &stored(&self.servers),
            unreadable: &Unreadable::default(),
            written: &Written::default(),
            created: &Created::default(),
        };
        let own = own(&server, name, &uid);
        look.interfaces = gather(&server, &own, &sources, ledger, Timestamp::UNIX_EPOCH);
        look
    }

    /// Makes one write of a plan that was decided on `look`; `version` is that
    /// of the server as the writer knows it.
    pub fn write(
        &mut self,
        look: &Observed,
        version: &mut String,
        step: Step<'_>,
    ) -> Result<(), Refused> {
        let name = look.server.name_any();
        match step {
            Step::Hold => {
                self.server(&name, version, json!({"metadata": {"finalizers": [FINALIZER]}}))
            }
            Step::Place(right) => self.server(&name, version, placed(right)),
            Step::LetGo => {
                self.server(&name, version, json!({}))?;
                self.servers.remove(&name);
                Ok(())
            }
            Step::Claim(spec) => self.claim(spec),
            Step::DropClaim(claim) => {
                let fresh = look.status().interfaces.is_empty()
                    && self.networks.values().any(|network| {
                        network.uid().as_deref() == Some(claim.spec.network_uid.as_str())
                    });
                if !fresh {
                    self.free(claim);
                }
                Ok(())
            }
            Step::FreeClaim(claim) => {
                self.free(claim);
                Ok(())
            }
            Step::NoPortLeft => {
                let uid = look.server.uid();
                let left =
                    |port: &NetworkPort| Some(port.spec.server_uid.as_str()) == uid.as_deref();
                if self.ports.values().any(left) { Err(Refused) } else { Ok(()) }
            }
            Step::Host(host) => self.host(host),
            Step::Port(PortStep::Create(spec)) => {
                let name = port_name(&spec.server_name, &spec.interface_name);
                let mut port = NetworkPort::new(&name, spec.clone());
                port.metadata.namespace = Some("acme".into());
                port.metadata.resource_version = Some(self.next());
                self.ports.entry(name).or_insert(port);
                Ok(())
            }
            Step::Port(PortStep::Bind { interface, binding }) => {
                let read = look.interfaces.find(interface).unwrap().port.found().unwrap();
                let next = self.next();
                let port = self.ports.get_mut(&read.name_any()).ok_or(Refused)?;
                if port.resource_version() != read.resource_version() {
                    return Err(Refused);
                }
                let before = port.spec.binding.as_ref().map(|before| before.epoch);
                assert!(before < Some(binding.epoch), "the API server would refuse it");
                port.spec.binding = Some(binding.clone());
                port.metadata.resource_version = Some(next);
                Ok(())
            }
            Step::DeletePort(name) => {
                let port = self.ports.get_mut(name).ok_or(Refused)?;
                port.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
                Ok(())
            }
            Step::MakeDisk(_) | Step::Attach(_) | Step::Detach(_) => Ok(()),
            Step::Unpin(_) | Step::DeleteDisk(_) => Ok(()),
        }
    }

    fn server(&mut self, name: &str, version: &mut String, with: Value) -> Result<(), Refused> {
        let there = self.servers.get(name).ok_or(Refused)?;
        if there.resource_version().as_ref() != Some(version) {
            return Err(Refused);
        }
        self.change(name, with);
        *version = self.servers[name].resource_version().unwrap();
        Ok(())
    }

    fn claim(&mut self, spec: &AddressClaimSpec) -> Result<(), Refused> {
        let name = claim_name(&spec.tenant_network_name, spec.address);
        if let Some(there) = self.claims.get(&name) {
            return if there.spec == *spec { Ok(()) } else { Err(Refused) };
        }
        let mut claim = AddressClaim::new(&name, spec.clone());
        claim.metadata.namespace = Some("acme".into());
        claim.metadata.uid = Some(uid(self.version + 1));
        claim.metadata.resource_version = Some(self.next());
        self.claims.insert(name, claim);
        Ok(())
    }

    fn free(&mut self, claim: &AddressClaim) {
        self.claims.retain(|_, there| there.uid() != claim.uid());
    }

    fn host(&mut self, host: &NewHost) -> Result<(), Refused> {
        let segment = self.segments.get_mut(&segment_name(host.vni)).ok_or(Refused)?;
        if !is_usable(segment, &host.network) {
            return Err(Refused);
        }
        let status = segment.status.get_or_insert_default();
        status.phase = Some(SegmentPhase::InUse);
        if !status.hosts.contains(&host.node) {
            status.hosts.push(host.node.clone());
        }
        Ok(())
    }

    /// The nodes remove what is to go.
    pub fn nodes_remove_ports(&mut self) {
        self.ports.retain(|_, port| port.metadata.deletion_timestamp.is_none());
    }

    /// All that matters at the end, without versions and UIDs of claims.
    pub fn summary(&self) -> Value {
        let servers: Vec<_> =
            self.servers.values().map(|s| json!([s.name_any(), s.status])).collect();
        let specs: Vec<_> = self.claims.values().map(|claim| json!(claim.spec)).collect();
        let ports: Vec<_> = self.ports.values().map(|port| json!(port.spec)).collect();
        let segments: Vec<_> = self.segments.values().map(|s| json!(s.status)).collect();
        json!({"servers": servers, "claims": specs, "ports": ports, "segments": segments})
    }
}

fn placed(right: &NewRight) -> Value {
    json!({"status": {"placement": right.placement, "interfaces": right.interfaces}})
}

fn stored<K>(objects: &BTreeMap<String, K>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    let (reader, mut writer) = store();
    for object in objects.values() {
        writer.apply_watcher_event(&Event::Apply(object.clone()));
    }
    reader
}

/// What a server with an interface has when it is placed.
pub fn given() -> Value {
    json!({"status": {"interfaces": [{"name": "eth0", "tenantNetworkName": "blue",
        "networkUid": fixtures::NETWORK, "vni": 5000, "mtu": 1450,
        "macAddress": "02:00:00:00:00:01", "addresses": ["10.20.0.5"]}]}})
}

/// What the one interface of a server may be like.
pub fn situations() -> Vec<Interfaces> {
    let entry = json!({"name": "eth0", "tenantNetworkName": "blue"});
    let bound = json!({"spec": {"binding": {"nodeName": "node-a", "epoch": 1}}});
    let failed = |reason: &str| {
        let status = json!({"nodeName": "node-a", "epoch": 1, "state": "Failed", "reason": reason});
        all([bound.clone(), json!({"status": status})])
    };
    let mut taken = Taken::default();
    taken.macs.insert("02:00:00:00:00:01".parse().unwrap(), "db".into());
    let wanted = |network: Option<Value>, port: Option<Value>, taken: &Taken| Wanted {
        entry: serde_json::from_value(entry.clone()).unwrap(),
        network: network.map_or(Lookup::Missing, |n| Lookup::Found(fixtures::network(n).into())),
        segment: Lookup::Found(fixtures::segment(json!({})).into()),
        port: port.map_or(Lookup::Missing, |p| Lookup::Found(fixtures::port(p).into())),
        taken: taken.clone().into(),
    };
    let (ready, none) = (Some(ready("True")), Taken::default());
    let other = json!({"spec": {"serverUid": fixtures::LOG}});
    let mut all = vec![
        wanted(None, None, &none),
        wanted(Some(json!({})), None, &none),
        wanted(ready.clone(), None, &none),
        wanted(ready.clone(), None, &taken),
    ];
    for port in [json!({}), bound.clone(), failed("NftRefused"), failed("ForeignLink"), other] {
        all.push(wanted(ready.clone(), Some(port), &none));
    }
    let one = |wanted| Interfaces { wanted: vec![wanted], ..Interfaces::default() };
    all.into_iter().map(one).collect()
}
