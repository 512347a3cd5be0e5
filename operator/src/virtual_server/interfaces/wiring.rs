//! The ports of a placed server: which are to be made or bound, and what
//! stands in their way. Decided from what the API shows, so it does not matter
//! where an earlier look was cut off. Pure.

use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::net_ident::Vni;
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::network_port::{Binding, NetworkPort, NetworkPortSpec, PortState};
use suigen_crds::network_segment::{NetworkSegment, SegmentPhase};
use suigen_crds::virtual_server::Placement;

use super::choose::Own;
use super::{Interfaces, Wanted, mac};
use crate::reasons::{PERSON_MUST_ACT, word};
use crate::virtual_server::state::{Hurdle, Problem};
use crate::watch::lookup::Lookup;

/// What is to be written for the ports of a server, in this order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// Nodes to be noted on segments before a port is bound there.
    pub hosts: Vec<NewHost>,
    /// Ports to be made or bound.
    pub ports: Vec<PortStep>,
}

/// A node that gets its first port of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHost {
    /// The network's identifier.
    pub vni: Vni,
    /// The network that is meant.
    pub network: Uid,
    /// The node.
    pub node: NodeName,
}

/// One port to be made or bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortStep {
    /// It is made, bound already.
    Create(NetworkPortSpec),
    /// It exists, and is bound under a higher epoch.
    Bind {
        /// What the server calls the interface.
        interface: String,
        /// Where it is from now on.
        binding: Binding,
    },
}

/// What is to be written, and the first thing that stands in the way.
pub fn wiring(
    own: &Own<'_>,
    interfaces: &Interfaces,
    placed: &[PlacedInterface],
    placement: &Placement,
) -> (Wiring, Option<Hurdle>) {
    let (mut wiring, mut first) = (Wiring::default(), None);
    for placed in placed {
        let Some(wanted) = interfaces.find(&placed.name) else { continue };
        match step(own, wanted, placed, placement) {
            Ok(None) => {}
            Ok(Some(step)) => {
                if let Some(host) = new_host(wanted, placed, placement)
                    && !wiring.hosts.contains(&host)
                {
                    wiring.hosts.push(host);
                }
                wiring.ports.push(step);
            }
            Err(hurdle) => first = first.or(Some(hurdle)),
        }
    }
    (wiring, first)
}

/// What keeps the interfaces of a placed server from being ready; none when
/// all are bound and no hypervisor complains.
pub fn not_ready(
    own: &Own<'_>,
    interfaces: &Interfaces,
    placed: &[PlacedInterface],
    placement: &Placement,
) -> Option<Hurdle> {
    if placed.is_empty() && !interfaces.wanted.is_empty() {
        let message = "status.interfaces of the server was lost: create another VirtualServer and give it the disks";
        return Some(Hurdle::Blocked(Problem::new("InterfacesLost", message.into())));
    }
    let (wiring, hurdle) = wiring(own, interfaces, placed, placement);
    let open = !wiring.ports.is_empty();
    hurdle.or_else(|| {
        let message = format!("its interfaces are being bound to {}", placement.node_name);
        open.then(|| Hurdle::Waits(Problem::passing("BindingPorts", message)))
    })
}

fn step(
    own: &Own<'_>,
    wanted: &Wanted,
    placed: &PlacedInterface,
    placement: &Placement,
) -> Result<Option<PortStep>, Hurdle> {
    let binding = Binding { node_name: placement.node_name.clone(), epoch: placement.epoch };
    match &wanted.port {
        Lookup::Unreadable(why) => {
            let text = format!("its NetworkPort cannot be read ({why}): correct it");
            Err(super::waits(&wanted.entry, "name", "PortUnreadable", &text))
        }
        Lookup::Missing => {
            mac::free(wanted, placed.mac_address)?;
            segment(wanted, placed)?;
            Ok(Some(PortStep::Create(spec(own, placed, binding))))
        }
        Lookup::Found(port) => match existing(own, wanted, port, &binding)? {
            None => Ok(None),
            Some(step) => segment(wanted, placed).map(|_| Some(step)),
        },
    }
}

fn existing(
    own: &Own<'_>,
    wanted: &Wanted,
    port: &NetworkPort,
    binding: &Binding,
) -> Result<Option<PortStep>, Hurdle> {
    let entry = &wanted.entry;
    let on = port.spec.binding.as_ref().map_or("no node", |at| at.node_name.as_str());
    if port.spec.server_uid != *own.uid {
        let text = format!(
            "an earlier server named {:?} still has its port on {on}: this one goes on when the port is gone",
            own.name
        );
        return Err(super::waits(entry, "name", "PortNameTaken", &text));
    }
    if port.metadata.deletion_timestamp.is_some() {
        let text = format!(
            "its NetworkPort was deleted by somebody, and is made again when {on} has removed it: power the server off and on"
        );
        return Err(super::waits(entry, "name", "PortIsBeingDeleted", &text));
    }
    match &port.spec.binding {
        Some(now) if now.epoch >= binding.epoch => trouble(wanted, port, now).map(|()| None),
        Some(_) | None => {
            Ok(Some(PortStep::Bind { interface: entry.name.clone(), binding: binding.clone() }))
        }
    }
}

/// What the node-daemon says of a port under its present binding.
fn trouble(wanted: &Wanted, port: &NetworkPort, now: &Binding) -> Result<(), Hurdle> {
    let Some(status) = &port.status else { return Ok(()) };
    let current = status.node_name.as_ref() == Some(&now.node_name)
        && status.epoch == Some(now.epoch)
        && status.state == Some(PortState::Failed);
    if !current {
        return Ok(());
    }
    let reason = word(status.reason.as_deref(), "PortFailed");
    let said = status.message.as_deref().unwrap_or("no message");
    let text = format!("{}: {said}", now.node_name);
    let problem = super::problem(&wanted.entry, "name", reason, &text);
    let act = PERSON_MUST_ACT.contains(&reason);
    Err(if act { Hurdle::Blocked(problem) } else { Hurdle::Waits(problem) })
}

/// The segment, if a port may be bound in it.
fn segment<'a>(wanted: &'a Wanted, placed: &PlacedInterface) -> Result<&'a NetworkSegment, Hurdle> {
    let segment = wanted.segment.found().filter(|segment| is_usable(segment, &placed.network_uid));
    segment.map(|segment| &**segment).ok_or_else(|| {
        let text = format!(
            "VNI {} is not held by TenantNetwork {:?} now, so no port can be bound",
            placed.vni, placed.tenant_network_name
        );
        super::waits(&wanted.entry, "tenantNetworkName", "SegmentNotReady", &text)
    })
}

/// Whether a segment is the network's, and stays so.
pub fn is_usable(segment: &NetworkSegment, network: &Uid) -> bool {
    let status = segment.status.as_ref();
    segment.spec.network.uid == *network
        && segment.metadata.deletion_timestamp.is_none()
        && status.is_none_or(|s| s.phase.is_none_or(|phase| phase == SegmentPhase::InUse))
}

fn new_host(wanted: &Wanted, placed: &PlacedInterface, placement: &Placement) -> Option<NewHost> {
    let status = wanted.segment.found().and_then(|segment| segment.status.as_ref());
    let noted = status.is_some_and(|status| status.hosts.contains(&placement.node_name));
    (!noted).then(|| NewHost {
        vni: placed.vni,
        network: placed.network_uid.clone(),
        node: placement.node_name.clone(),
    })
}

fn spec(own: &Own<'_>, placed: &PlacedInterface, binding: Binding) -> NetworkPortSpec {
    NetworkPortSpec {
        tenant_network_name: placed.tenant_network_name.clone(),
        network_uid: placed.network_uid.clone(),
        vni: placed.vni,
        server_name: own.name.to_owned(),
        server_uid: own.uid.clone(),
        interface_name: placed.name.clone(),
        mac_address: placed.mac_address,
        addresses: placed.addresses.clone(),
        binding: Some(binding),
    }
}
