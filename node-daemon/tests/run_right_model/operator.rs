//! An operator: it acts on what its store shows, however old that is.
//!
//! It decides and writes in one step here. A crash between the two, or between
//! two writes, is the step that never comes: the next one starts from a store.

use crate::guards::{Guard, Guards};
use crate::real::{is_free, next_epoch};
use crate::state::{Api, Inventory, Object, Placed, State, Word};

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Its store catches up.
    Watch,
    /// It crashes, or another replica takes its place: its store is empty.
    Crash,
    /// It gives the right to a node.
    Place(u8),
    /// It records that the holder is off.
    Fence,
    /// It lets a deleted server go.
    Lift,
    /// It gives the placement to the node that is found to hold a higher epoch.
    Adopt(u8),
    /// It declares that it is known who holds what.
    Settle,
}

/// Every act on so many nodes.
pub fn acts(nodes: usize) -> impl Iterator<Item = Act> {
    let single = [Act::Watch, Act::Crash, Act::Fence, Act::Lift, Act::Settle];
    let on = (0..nodes as u8).flat_map(|node| [Act::Place(node), Act::Adopt(node)]);
    single.into_iter().chain(on)
}

/// Lets it happen; false when it cannot.
pub fn act(guards: Guards, nodes: usize, state: &mut State, index: usize, act: Act) -> bool {
    let store = state.operators[index];
    match act {
        Act::Watch => {
            state.operators[index] = Some(state.api);
            return store != Some(state.api);
        }
        Act::Crash => {
            state.operators[index] = None;
            return store.is_some();
        }
        Act::Place(_) | Act::Fence | Act::Lift | Act::Adopt(_) | Act::Settle => {}
    }
    let Some(shown) = store else { return false };
    let Some(now) = shown.object else { return false };
    let halted = shown.settling && guards.has(Guard::PlacingHalts);
    let free = is_over(guards, &now);
    let next = match act {
        Act::Place(node) if !halted && !now.deleting && may_place(guards, &now, free) => {
            place(guards, &shown, &now, node)
        }
        Act::Fence if !halted && !free => fence(guards, &shown, &now).map(Some),
        Act::Lift if !halted && now.deleting && free => Some(None),
        Act::Adopt(node) if halted => adopt(guards, nodes, &shown, &now, node).map(Some),
        Act::Settle if halted => return settle(guards, nodes, state, &shown, &now),
        _ => None,
    };
    next.is_some_and(|object| write(guards, state, &shown, object, act))
}

fn write(guards: Guards, state: &mut State, shown: &Api, object: Option<Object>, act: Act) -> bool {
    let before = state.api.object.and_then(|object| object.placed);
    let carries = guards.has(Guard::ResourceVersion);
    if (carries && state.api.rv != shown.rv) || !state.api.put(guards, object) {
        return false;
    }
    let after = object.and_then(|object| object.placed);
    if let (Some(before), Some(after)) = (before, after) {
        state.seen.fell |= after.epoch < before.epoch;
    }
    state.seen.placed_early |= matches!(act, Act::Place(_)) && state.seen.awaited != 0;
    true
}

/// Whether the right that was given out is over: by the holder's word, or by a fence.
fn is_over(guards: Guards, now: &Object) -> bool {
    let anybodys =
        !guards.has(Guard::HoldersWord) && now.said.is_some_and(|said| said.word != Word::Starting);
    let fenced = now.placed.is_some_and(|placed| now.fence >= placed.epoch);
    is_free(now) || fenced || anybodys
}

fn may_place(guards: Guards, now: &Object, free: bool) -> bool {
    free || (now.placed.is_some() && !guards.has(Guard::SilenceIsNoProof))
}

fn place(guards: Guards, shown: &Api, now: &Object, node: u8) -> Option<Option<Object>> {
    let log = shown.hosts[node as usize].log;
    let epoch = match now.placed {
        Some(placed) if !guards.has(Guard::HigherEpoch) => placed.epoch,
        _ => next_epoch(now),
    };
    // All nodes are alike before anything was placed: one of them stands for all.
    let alike = now.placed.is_none() && node != 0;
    (log != 0 && !alike)
        .then_some(Some(Object { placed: Some(Placed { node, epoch, log }), ..*now }))
}

/// A person's word that the node is off ends the right if it names the boot in
/// which the holder may have started the server.
fn fence(guards: Guards, shown: &Api, now: &Object) -> Option<Object> {
    let placed = now.placed?;
    let host = &shown.hosts[placed.node as usize];
    let claimed = now.said.filter(|said| (said.node, said.epoch) == (placed.node, placed.epoch));
    let boot = claimed.map_or(host.boot, |said| said.boot);
    let attested = match guards.has(Guard::FenceNamesBoot) {
        true => host.attested == boot,
        false => host.attested != 0,
    };
    (attested && host.attested != 0).then_some(Object { fence: placed.epoch, ..*now })
}

/// Whether every node has reported since the restore, or is off by a person's word.
fn all_heard(nodes: usize, shown: &Api) -> bool {
    shown.hosts[..nodes].iter().all(|host| match host.inventory {
        Some(Inventory::Holds(_)) => true,
        Some(Inventory::Unknown) => false,
        None => host.attested != 0 && host.attested == host.boot,
    })
}

fn holds(shown: &Api, node: usize) -> u8 {
    match shown.hosts[node].inventory {
        Some(Inventory::Holds(epoch)) => epoch,
        Some(Inventory::Unknown) | None => 0,
    }
}

/// The node that holds a higher epoch than the placement, and which.
fn holder(nodes: usize, shown: &Api, now: &Object) -> Option<(u8, u8)> {
    let placed = now.placed.map_or(0, |placed| placed.epoch);
    let all = (0..nodes).map(|node| (holds(shown, node), node as u8));
    all.filter(|(epoch, _)| *epoch > placed).max()
}

fn adopt(guards: Guards, nodes: usize, shown: &Api, now: &Object, node: u8) -> Option<Object> {
    if !guards.has(Guard::HolderAdopted) || !all_heard(nodes, shown) {
        return None;
    }
    let (epoch, holder) = holder(nodes, shown, now)?;
    let log = shown.hosts[node as usize].log;
    (holder == node).then_some(Object { placed: Some(Placed { node, epoch, log }), ..*now })
}

fn settle(guards: Guards, nodes: usize, state: &mut State, shown: &Api, now: &Object) -> bool {
    let adopted = holder(nodes, shown, now).is_none() || !guards.has(Guard::HolderAdopted);
    let settled = state.api.settling && adopted && all_heard(nodes, shown);
    if settled {
        state.api.settling = false;
        state.api.hosts.iter_mut().for_each(|host| host.inventory = None);
    }
    settled
}
