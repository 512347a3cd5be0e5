//! What a server comes to. Pure: [`plan`] leaves no choice open.

use std::sync::Arc;

use kube::ResourceExt;
use suigen_crds::disk::{Attachment, Disk, ReclaimPolicy};
use suigen_crds::ident::{Epoch, Uid};
use suigen_crds::right::{is_free, next_epoch};
use suigen_crds::server_class::{ResourceType, ServerClass};
use suigen_crds::virtual_server::{
    PlacedDisk, Placement, PowerState, ResolvedClass, VirtualServer,
};

use super::disks;
use super::interfaces::choose::{self, Own};
use super::interfaces::release::{claims_to_drop, ports_to_delete, remaining};
use super::interfaces::wiring::{Wiring, wiring};
use super::observe::{MADE_FOR, Observed};
use super::plan::{Attach, NewRight, Plan};
use super::state::{Problem, State, Why, only_refused};
use super::words::words;
use crate::finalizer::{Deletion, Finalizer, is_held};
use crate::placement::fleet::amounts_of;
use crate::placement::{Amounts, Carried, Demand, place};
use crate::watch::lookup::Lookup;
use crate::write;

/// Decides.
pub fn plan(observed: &Observed) -> Plan {
    match observed.deletion {
        Deletion::CrdTerminating => nothing(observed, State::CrdTerminating),
        Deletion::Wanted => leave(observed),
        Deletion::No => live(observed),
    }
}

/// What is said when the API server refused a step, such as a Disk beyond the
/// namespace's quota; none when there is nothing that a person could do.
pub fn refused(observed: &Observed, error: &write::Error) -> Option<Plan> {
    let said = error.refusal()?;
    let held = observed.deletion != Deletion::No || !is_free(observed.server.status.as_ref());
    let problem = Problem::new("ApiServerRefused", format!("{error}: {said}"));
    let mut plan = nothing(observed, State::Unplaced(Why::Waits(problem)));
    plan.words.progress = false;
    (!held).then_some(plan)
}

fn nothing(observed: &Observed, state: State) -> Plan {
    Plan {
        finalizer: Finalizer::Keep,
        create: Vec::new(),
        drop_claims: Vec::new(),
        place: None,
        attach: Vec::new(),
        wiring: Wiring::default(),
        delete_ports: Vec::new(),
        detach: Vec::new(),
        unpin: Vec::new(),
        delete: Vec::new(),
        words: words(observed, &state),
        state,
    }
}

fn leave(observed: &Observed) -> Plan {
    let status = observed.status();
    match status.placement {
        _ if !is_held(&*observed.server) => nothing(observed, State::Clearing),
        Some(placement) if !is_free(observed.server.status.as_ref()) => {
            nothing(observed, State::Releasing(placement))
        }
        _ if observed.behind => nothing(observed, State::Unplaced(Why::Behind)),
        Some(_) | None => clear(observed),
    }
}

/// Nobody holds the right: removes the ports and closes the disks, deletes
/// those made for the server if they are to go with it. Only when no port is
/// left are its addresses given back, and it goes.
fn clear(observed: &Observed) -> Plan {
    let uid = observed.server.metadata.uid.as_deref().unwrap_or_default();
    let attached = |disk: &&Arc<Disk>| {
        let attachment = disk.status.as_ref().and_then(|status| status.attachment.as_ref());
        attachment.is_some_and(|attachment| attachment.server_uid.as_str() == uid)
    };
    let goes = |disk: &&Arc<Disk>| {
        disk.annotations().get(MADE_FOR).is_some_and(|made_for| made_for == uid)
            && disk.spec.reclaim_policy == ReclaimPolicy::Delete
            && disk.metadata.deletion_timestamp.is_none()
    };
    let name = |disk: &Arc<Disk>| disk.name_any();
    let base = |state| Plan {
        detach: observed.held.iter().filter(attached).map(name).collect(),
        delete: observed.held.iter().filter(goes).map(name).collect(),
        ..nothing(observed, state)
    };
    match remaining(&observed.interfaces, uid) {
        Some(nodes) => {
            let delete_ports = ports_to_delete(&observed.interfaces, uid);
            Plan { delete_ports, ..base(State::Unplugging(nodes)) }
        }
        None => Plan {
            finalizer: Finalizer::Lift,
            drop_claims: observed.interfaces.claims.clone(),
            ..base(State::Clearing)
        },
    }
}

fn live(observed: &Observed) -> Plan {
    let held = is_held(&*observed.server);
    let finalizer = if held { Finalizer::Keep } else { Finalizer::Add };
    let Some(uid) = observed.server.metadata.uid.clone().and_then(|uid| Uid::try_from(uid).ok())
    else {
        let problem = Problem::new("UidNotUnderstood", "its UID is no UUID".to_owned());
        return nothing(observed, State::Unplaced(Why::Blocked(problem)));
    };
    let status = observed.status();
    let name = observed.server.name_any();
    let base = |state| Plan {
        finalizer,
        create: disks::missing(observed),
        drop_claims: claims_to_drop(&observed.interfaces, &name, &status.interfaces),
        ..nothing(observed, state)
    };
    if observed.behind {
        let behind = State::Unplaced(Why::Behind);
        return Plan { create: Vec::new(), drop_claims: Vec::new(), ..base(behind) };
    }
    if let Some(placement) = status.placement.clone()
        && !is_free(observed.server.status.as_ref())
    {
        let attach = attachments(observed, &uid, &placement);
        let own = own(&observed.server, &name, &uid);
        let (wiring, _) = wiring(&own, &observed.interfaces, &status.interfaces, &placement);
        return Plan { attach, wiring, ..base(State::Held(placement)) };
    }
    let unpin = disks::never_made(observed, &uid);
    if !unpin.is_empty() {
        let message = "its hypervisor refused it: its disks are set free".to_owned();
        let why = Why::Waits(Problem::passing("Refused", message));
        return Plan { unpin, ..base(State::Unplaced(why)) };
    }
    match right(observed, &own(&observed.server, &name, &uid)) {
        Ok(right) => {
            let placement = &right.placement;
            let attach = attachments(observed, &uid, placement);
            let own = own(&observed.server, &name, &uid);
            let (wiring, _) = wiring(&own, &observed.interfaces, &right.interfaces, placement);
            let state = State::Placing(placement.clone());
            Plan { place: Some(right), attach, wiring, ..base(state) }
        }
        Err(why) => base(State::Unplaced(why)),
    }
}

/// Whose interfaces a decision is about.
pub fn own<'a>(server: &'a VirtualServer, name: &'a str, uid: &'a Uid) -> Own<'a> {
    Own { namespace: server.metadata.namespace.as_deref().unwrap_or_default(), name, uid }
}

/// The run right to be given out.
fn right(observed: &Observed, own: &Own<'_>) -> Result<NewRight, Why> {
    match observed.server.spec.power_state {
        PowerState::PoweredOn => {}
        PowerState::PoweredOff => return Err(Why::PoweredOff),
        PowerState::Unknown => {
            return Err(Why::Blocked(Problem::new(
                "PowerStateNotUnderstood",
                "powerState has a value that this release does not know: upgrade Suigen, or use another".into(),
            )));
        }
    }
    let class = class(observed)?;
    if let Some(hurdle) = disks::hurdle(observed, own.uid) {
        return Err(hurdle.into());
    }
    let pinned = disks::pin(observed).map_err(Why::Blocked)?;
    let kept = observed.status().interfaces;
    let interfaces = choose::choose(own, &observed.interfaces, &kept)?;
    let to_come = Amounts { disk_bytes: disks::bytes_to_come(observed), ..Amounts::default() };
    let demand = Demand {
        resource_type: class.resource_type,
        amounts: amounts_of(&class).plus(to_come),
        pinned,
        avoid: observed.refusals.iter().map(|r| (r.node.clone(), r.said.clone())).collect(),
        network: Carried::largest(&interfaces),
    };
    let choice = place(&observed.fleet, &demand).map_err(|no_room| Why::NoRoom {
        message: no_room.to_string(),
        only_refused: only_refused(&no_room.misfits),
    })?;
    let placement = Placement {
        node_name: choice.node,
        epoch: next_epoch(observed.server.status.as_ref()),
        wal_id: choice.wal_id,
        class,
        firmware: disks::firmware(observed),
        disks: disks::placed(observed).unwrap_or_default(),
    };
    let claims = choose::claims(own, &interfaces);
    Ok(NewRight { placement, interfaces, claims, amounts: demand.amounts })
}

/// The class, as it goes into a placement. A server that was placed before
/// keeps what it was sold with, whatever became of the class.
fn class(observed: &Observed) -> Result<ResolvedClass, Why> {
    if let Some(placement) = observed.status().placement {
        return Ok(placement.class);
    }
    let name = &observed.server.spec.server_class_name;
    let waits = |reason, message| Why::Waits(Problem::new(reason, message));
    match &observed.class {
        Lookup::Found(class) => resolve(name, class),
        Lookup::Missing => Err(waits(
            "ServerClassNotFound",
            format!("there is no ServerClass {name:?}: create it, or use another"),
        )),
        Lookup::Unreadable(why) => Err(waits(
            "ServerClassUnreadable",
            format!("ServerClass {name:?} cannot be read ({why}): correct it"),
        )),
    }
}

fn resolve(name: &str, class: &ServerClass) -> Result<ResolvedClass, Why> {
    let shape = &class.spec.r#virtual;
    if class.spec.resource_type == ResourceType::Unknown {
        return Err(Why::Blocked(Problem::new(
            "ServerClassNotUnderstood",
            format!(
                "the resourceType of ServerClass {name:?} is not known to this release: upgrade Suigen, or use another class"
            ),
        )));
    }
    Ok(ResolvedClass {
        name: name.to_owned(),
        resource_type: class.spec.resource_type,
        vcpus: shape.vcpus,
        memory_bytes: shape.memory.get(),
        cpu_floor_millis: shape.cpu_floor_millis,
    })
}

/// Disks of a placement that are not yet given to its server under its epoch,
/// and that nobody else has.
fn attachments(observed: &Observed, uid: &Uid, placement: &Placement) -> Vec<Attach> {
    let one = |placed: &PlacedDisk| {
        let wanted = observed.disks.iter().find(|wanted| wanted.name == placed.disk_name)?;
        let disk = wanted.disk.found()?;
        let status = disk.status.clone().unwrap_or_default();
        let same = disk.metadata.uid.as_deref() == Some(placed.disk_uid.as_str());
        let elsewhere = status.node_name.as_ref().is_some_and(|node| *node != placement.node_name);
        let open = match &status.attachment {
            None => disk.metadata.deletion_timestamp.is_none(),
            Some(now) => now.server_uid == *uid && now.server_epoch < placement.epoch,
        };
        (same && open && !elsewhere).then(|| Attach {
            disk: placed.disk_name.clone(),
            node: placement.node_name.clone(),
            attachment: Attachment {
                server_name: observed.server.name_any(),
                server_uid: uid.clone(),
                server_epoch: placement.epoch,
                attach_epoch: status.attach_epoch.map_or(Epoch::FIRST, Epoch::next),
            },
        })
    };
    placement.disks.iter().filter_map(one).collect()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
