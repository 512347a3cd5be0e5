//! What a server comes to. Pure: [`plan`] leaves no choice open.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use suigen_crds::disk::{Attachment, Disk, ReclaimPolicy};
use suigen_crds::ident::{Epoch, NodeName, Uid};
use suigen_crds::right::{is_free, next_epoch};
use suigen_crds::server_class::{ResourceType, ServerClass};
use suigen_crds::virtual_server::{PlacedDisk, Placement, PowerState, ResolvedClass};

use super::disks::{self, Hurdle, NewDisk};
use super::observe::{MADE_FOR, Observed};
use super::state::{Problem, State, Why, only_refused};
use super::words::{Words, words};
use crate::finalizer::{Deletion, Finalizer, is_held};
use crate::outcome::Outcome;
use crate::placement::fleet::amounts_of;
use crate::placement::{Amounts, Demand, place};

use crate::watch::lookup::Lookup;
use crate::write;

/// Everything that is to be done and said, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whether our finalizer is to be added first.
    pub finalizer: Finalizer,
    /// Disks to be made.
    pub create: Vec<NewDisk>,
    /// The run right to be given out, and the room that goes with it.
    pub place: Option<(Placement, Amounts)>,
    /// Disks to be given to the server, by name.
    pub attach: Vec<Attach>,
    /// Disks, by name, to be taken from the server that gave up its right.
    pub detach: Vec<String>,
    /// Disks, by name, that were never made where the server was refused, and
    /// so need not stay there.
    pub unpin: Vec<String>,
    /// Disks, by name, to be deleted with the server.
    pub delete: Vec<String>,
    /// Where the server stands.
    pub state: State,
    /// What is to be said.
    pub words: Words,
}

impl Plan {
    /// Whether it waits for room on some hypervisor.
    pub const fn waits_for_room(&self) -> bool {
        matches!(self.state, State::Unplaced(Why::NoRoom { .. }))
    }

    /// Whether it waits for something that does not come by itself.
    pub const fn waits_for_somebody(&self) -> bool {
        match &self.state {
            State::Unplaced(Why::Waits(problem)) => !problem.passing,
            State::Unplaced(Why::NoRoom { .. }) => true,
            _ => false,
        }
    }

    /// Whether nothing is left to be said: the object goes, or is not seen
    /// as it is.
    pub const fn is_over(&self) -> bool {
        matches!(self.finalizer, Finalizer::Lift)
            || matches!(self.state, State::Unplaced(Why::Behind) | State::Clearing)
    }

    /// When to look again though nothing wakes it.
    pub const fn next(&self) -> Outcome {
        let (reason, seconds) = match &self.state {
            State::Unplaced(Why::Behind) => ("StoreIsBehind", 1),
            State::Unplaced(Why::NoRoom { only_refused: true, .. }) => ("RefusedLately", 5),
            State::Unplaced(Why::Blocked(_)) | State::CrdTerminating => ("PersonMustAct", 60),
            State::Unplaced(Why::PoweredOff | Why::Waits(_) | Why::NoRoom { .. })
            | State::Releasing(_)
            | State::Clearing
            | State::Held(_)
            | State::Placing(_) => return Outcome::Done,
        };
        Outcome::Wait { reason, after: Duration::from_secs(seconds) }
    }
}

/// A disk to be given to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The disk's name.
    pub disk: String,
    /// The hypervisor that keeps it from now on.
    pub node: NodeName,
    /// What is written.
    pub attachment: Attachment,
}

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
        place: None,
        attach: Vec::new(),
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

/// Nobody holds the right: closes the disks, deletes those made for the server
/// if they are to go with it, lets go.
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
    Plan {
        finalizer: Finalizer::Lift,
        detach: observed.held.iter().filter(attached).map(name).collect(),
        delete: observed.held.iter().filter(goes).map(name).collect(),
        ..nothing(observed, State::Clearing)
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
    let base =
        |state| Plan { finalizer, create: disks::missing(observed), ..nothing(observed, state) };
    if observed.behind {
        return Plan { create: Vec::new(), ..base(State::Unplaced(Why::Behind)) };
    }
    let status = observed.status();
    if let Some(placement) = status.placement
        && !is_free(observed.server.status.as_ref())
    {
        let attach = attachments(observed, &uid, &placement);
        return Plan { attach, ..base(State::Held(placement)) };
    }
    let unpin = disks::never_made(observed, &uid);
    if !unpin.is_empty() {
        let message = "its hypervisor refused it: its disks are set free".to_owned();
        let why = Why::Waits(Problem::passing("Refused", message));
        return Plan { unpin, ..base(State::Unplaced(why)) };
    }
    match placement(observed, &uid) {
        Ok((placement, amounts)) => {
            let attach = attachments(observed, &uid, &placement);
            let state = State::Placing(placement.clone());
            Plan { place: Some((placement, amounts)), attach, ..base(state) }
        }
        Err(why) => base(State::Unplaced(why)),
    }
}

/// The run right to be given out.
fn placement(observed: &Observed, uid: &Uid) -> Result<(Placement, Amounts), Why> {
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
    match disks::hurdle(observed, uid) {
        None => {}
        Some(Hurdle::Waits(problem)) => return Err(Why::Waits(problem)),
        Some(Hurdle::Blocked(problem)) => return Err(Why::Blocked(problem)),
    }
    let pinned = disks::pin(observed).map_err(Why::Blocked)?;
    let to_come = Amounts { disk_bytes: disks::bytes_to_come(observed), ..Amounts::default() };
    let demand = Demand {
        resource_type: class.resource_type,
        amounts: amounts_of(&class).plus(to_come),
        pinned,
        avoid: observed.refusals.iter().map(|r| (r.node.clone(), r.said.clone())).collect(),
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
    Ok((placement, demand.amounts))
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
