//! What a network comes to. Pure.

use suigen_crds::condition::{Finding, Status};
use suigen_crds::net_ident::Vni;
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::tenant_network::TenantNetworkStatus;

use super::observe::{Observed, Segment};
use crate::finalizer::{Deletion, Finalizer, is_held};
use crate::sweep::listed;

/// The smallest packet that every host must take (RFC 791).
const LEAST_MTU: i32 = 576;

/// Everything that is to be done and said.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What becomes of our finalizer.
    pub finalizer: Finalizer,
    /// The VNI whose segment is to be created.
    pub claim: Option<Vni>,
    /// What the network is given for good, after that.
    pub give: Option<Given>,
    /// Segments that are to be released before the finalizer is lifted.
    pub release: Vec<NetworkSegment>,
    /// What is to be said.
    pub findings: Vec<Finding>,
    /// Whether it says only that work goes on.
    pub progress: bool,
    /// Interfaces in it.
    pub ports: i32,
    /// Addresses that are left.
    pub free_addresses: Option<i64>,
}

/// What a network is given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Its identifier on the underlay.
    pub vni: Vni,
    /// The largest packet of its guests.
    pub mtu: i32,
}

/// A problem: a word for programs, a sentence for people, and whether one of
/// them must act.
#[derive(Debug)]
struct Problem {
    reason: &'static str,
    message: String,
    stalled: bool,
}

/// Decides.
pub fn plan(observed: &Observed) -> Plan {
    let nothing = Plan {
        finalizer: Finalizer::Keep,
        claim: None,
        give: None,
        release: Vec::new(),
        findings: Vec::new(),
        progress: false,
        ports: observed.ports,
        free_addresses: observed.free_addresses,
    };
    match observed.deletion {
        Deletion::CrdTerminating => Plan { findings: crd_terminating(), ..nothing },
        Deletion::Wanted => deleting(observed, nothing),
        Deletion::No => {
            let finalizer =
                if is_held(&*observed.network) { Finalizer::Keep } else { Finalizer::Add };
            alive(observed, Plan { finalizer, ..nothing })
        }
    }
}

fn alive(observed: &Observed, nothing: Plan) -> Plan {
    let stored = observed.network.status.clone().unwrap_or_default();
    match resolve(observed, &stored) {
        Ok((given, claim)) => {
            let is_new = (stored.vni, stored.mtu) != (Some(given.vni), Some(given.mtu));
            let give = is_new.then_some(given);
            Plan { claim, give, findings: ready(given), ..nothing }
        }
        Err(problem) => Plan { findings: not_ready(problem), ..nothing },
    }
}

/// MTU first: a VNI is taken only for a network that can be used.
fn resolve(
    observed: &Observed,
    stored: &TenantNetworkStatus,
) -> Result<(Given, Option<Vni>), Problem> {
    gateways(observed)?;
    let mtu = stored.mtu.map_or_else(|| mtu(observed), Ok)?;
    let blocked = |reason, message| Problem { reason, message, stalled: true };
    match &observed.segment {
        Segment::Ours(vni) | Segment::Awaited(vni) => Ok((Given { vni: *vni, mtu }, None)),
        Segment::None => {
            let range = observed.range;
            let vni = observed.free.ok_or_else(|| {
                blocked(
                    "VniRangeExhausted",
                    format!(
                        "every VNI from {} to {} is taken: delete networks that nobody needs, or widen the operator's range of VNIs",
                        range.first(),
                        range.last()
                    ),
                )
            })?;
            Ok((Given { vni, mtu }, Some(vni)))
        }
        Segment::Foreign(other) => Err(blocked(
            "VniTakenByAnother",
            format!(
                "its VNI belongs to network {other}, since its own NetworkSegment was deleted: its guests may receive that network's packets; delete this network and create it anew"
            ),
        )),
        Segment::Unreadable(why) => Err(blocked(
            "NetworkSegmentUnreadable",
            format!("the NetworkSegment of its VNI cannot be read ({why}): correct it"),
        )),
    }
}

fn gateways(observed: &Observed) -> Result<(), Problem> {
    for subnet in &observed.network.spec.subnets {
        let Some(gateway) = subnet.gateway else { continue };
        let cidr = subnet.cidr.0;
        let what = if gateway.0 == cidr.network() {
            "first, which names the subnet itself"
        } else if gateway.0 == cidr.broadcast() {
            "last, which is for broadcasts"
        } else {
            continue;
        };
        return Err(Problem {
            reason: "GatewayIsReserved",
            message: format!(
                "the gateway {gateway} of subnet {} is its {what}: delete this network and create it with another gateway",
                subnet.name
            ),
            stalled: true,
        });
    }
    Ok(())
}

fn mtu(observed: &Observed) -> Result<i32, Problem> {
    if observed.carries.is_empty() {
        return Err(Problem {
            reason: "NoUnderlay",
            message:
                "no hypervisor has told yet what its underlay carries: see that a node-daemon runs"
                    .into(),
            stalled: false,
        });
    }
    let does_not_fit = |wanted: i32, advice: &str| {
        let nodes: Vec<_> = observed
            .carries
            .iter()
            .map(|(node, most)| format!("{node} (at most {most})"))
            .collect();
        Problem {
            reason: "MtuDoesNotFit",
            message: format!(
                "no hypervisor carries packets of {wanted} bytes, to which the tunnel adds 50: {}; {advice}",
                listed(&nodes)
            ),
            stalled: true,
        }
    };
    let fitting = |least: i32| {
        observed.carries.iter().map(|(_, most)| *most).filter(move |most| *most >= least)
    };
    match observed.network.spec.mtu {
        Some(wanted) if fitting(wanted).next().is_some() => Ok(wanted),
        Some(wanted) => Err(does_not_fit(
            wanted,
            "delete this network and create it with a smaller mtu, or raise the MTU of the underlay",
        )),
        None => fitting(LEAST_MTU)
            .min()
            .ok_or_else(|| does_not_fit(LEAST_MTU, "raise the MTU of the underlay")),
    }
}

fn ready(given: Given) -> Vec<Finding> {
    let said = format!("VNI {}, packets of up to {} bytes", given.vni, given.mtu);
    vec![
        Finding::yes("Ready", "Resolved", said),
        Finding::no("Reconciling", "Resolved", "nothing is under way"),
        Finding::no("Stalled", "NothingToDo", "no person need act"),
    ]
}

fn not_ready(Problem { reason, message, stalled }: Problem) -> Vec<Finding> {
    let flag = |type_, holds: bool, otherwise: &str| Finding {
        type_,
        status: if holds { Status::True } else { Status::False },
        reason,
        message: if holds { message.clone() } else { otherwise.to_owned() },
    };
    vec![
        flag("Reconciling", !stalled, "nothing is under way"),
        flag("Stalled", stalled, "no person need act"),
        Finding::no("Ready", reason, message),
    ]
}

fn crd_terminating() -> Vec<Finding> {
    let said = "the CRD tenantnetworks.suigen.dev is being deleted, which marks every TenantNetwork; no VNI is released for that";
    vec![
        Finding::unknown("Ready", "CrdTerminating", said),
        Finding::no("Reconciling", "CrdTerminating", "nothing is under way"),
        Finding::yes("Stalled", "CrdTerminating", said),
    ]
}

fn deleting(observed: &Observed, nothing: Plan) -> Plan {
    let servers = &observed.left.servers;
    if servers.is_empty() {
        let release = observed.left.segments.clone();
        return Plan { finalizer: Finalizer::Lift, release, ..nothing };
    }
    let problem = Problem {
        reason: "PortsRemain",
        message: format!("it goes when no server is in it any more: delete {}", listed(servers)),
        stalled: false,
    };
    Plan { findings: not_ready(problem), progress: true, ..nothing }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
