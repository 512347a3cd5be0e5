//! The whole as a Stateright model: who may act, and what must always hold.

use stateright::{Model, Property};

use crate::guards::{Guard, Guards};
use crate::state::{Api, Left, Log, MAX_NODES, Node, Object, Seen, State};
use crate::{node, operator};

/// How far is looked.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub nodes: usize,
    pub operators: usize,
    /// The highest epoch that is followed.
    pub epochs: u8,
    pub left: Left,
}

/// A scope, and the guards that are on.
#[derive(Debug, Clone, Copy)]
pub struct RunRight {
    pub scope: Scope,
    pub guards: Guards,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Node(u8, node::Act),
    Operator(u8, operator::Act),
    /// A person says in writing that this node is off, naming the boot that its
    /// Hypervisor shows.
    Attest(u8),
    /// Somebody deletes the server.
    Delete,
    /// The store is backed up.
    BackUp,
    /// The store is restored from that.
    Restore,
}

/// At most one node runs the server.
pub const ONE_RUNNER: &str = "at most one runner";
/// A node that gave up an epoch never runs it, or an older one, again.
pub const GIVEN_UP: &str = "what was given up is never run again";
/// In the store a placement's epoch falls by a restore only.
pub const EPOCHS_RISE: &str = "epochs never fall but by a restore";
/// After a restore nothing is placed before every node was heard of.
pub const RESTORE_SETTLED: &str = "nothing is placed before a restore is settled";
/// The model does something at all.
pub const MOVES: &str = "a server runs under its second epoch";

fn runners(state: &State) -> usize {
    state.nodes.iter().filter(|node| node.guest != 0).count()
}

impl Model for RunRight {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            api: Api { object: Some(Object::default()), ..Api::default() },
            backup: None,
            nodes: [Node::default(); MAX_NODES],
            operators: [None; 2],
            left: self.scope.left,
            seen: Seen::default(),
        };
        for (index, node) in state.nodes[..self.scope.nodes].iter_mut().enumerate() {
            let log = Log { id: index as u8 * 16 + 1, ..Log::default() };
            *node = Node { on: true, boot: 1, log, daemon: Some(Default::default()), ..*node };
            let host = &mut state.api.hosts[index];
            (host.boot, host.log) = (1, log.id);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for index in 0..self.scope.nodes {
            actions.extend(node::ACTS.map(|act| Action::Node(index as u8, act)));
            actions.push(Action::Attest(index as u8));
        }
        for index in 0..self.scope.operators {
            let acts = operator::acts(self.scope.nodes);
            actions.extend(acts.map(|act| Action::Operator(index as u8, act)));
        }
        if state.left.deletions > 0 {
            actions.push(Action::Delete);
        }
        if state.left.restores > 0 {
            actions.extend([Action::BackUp, Action::Restore]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        let changed = match action {
            Action::Node(index, act) => node::act(self.guards, &mut next, index.into(), act),
            Action::Operator(index, act) => {
                operator::act(self.guards, self.scope.nodes, &mut next, index.into(), act)
            }
            Action::Attest(index) => attest(&mut next, index.into()),
            Action::Delete => delete(&mut next),
            Action::BackUp => next.backup.replace(next.api).is_none(),
            Action::Restore => restore(self.guards, self.scope.nodes, &mut next),
        };
        changed.then_some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let placed = state.api.object.and_then(|object| object.placed);
        placed.is_none_or(|placed| placed.epoch <= self.scope.epochs)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_RUNNER, |_, state: &State| runners(state) <= 1),
            Property::always(GIVEN_UP, |_, state: &State| {
                state.nodes.iter().all(|node| node.guest == 0 || node.guest > node.gave_up)
            }),
            Property::always(EPOCHS_RISE, |_, state: &State| !state.seen.fell),
            Property::always(RESTORE_SETTLED, |_, state: &State| !state.seen.placed_early),
            Property::sometimes(MOVES, |_, state: &State| {
                state.nodes.iter().any(|node| node.guest == 2)
            }),
        ]
    }
}

fn attest(state: &mut State, index: usize) -> bool {
    let host = &mut state.api.hosts[index];
    let news = !state.nodes[index].on && host.attested != host.boot;
    if news {
        host.attested = host.boot;
        state.seen.awaited &= !(1 << index);
    }
    news
}

fn delete(state: &mut State) -> bool {
    let Some(object) = state.api.object.filter(|object| !object.deleting) else { return false };
    state.left.deletions -= 1;
    state.api.put(Guards::ALL, Some(Object { deleting: true, ..object }))
}

fn restore(guards: Guards, nodes: usize, state: &mut State) -> bool {
    let Some(backup) = state.backup else { return false };
    let revision = state.api.revision;
    state.left.restores -= 1;
    state.api = backup;
    if guards.has(Guard::RevisionsUnique) {
        state.api.revision = revision;
    }
    state.api.settling |= guards.has(Guard::RestoreDeclared);
    for host in &mut state.api.hosts {
        host.inventory = None;
        if guards.has(Guard::AttestedAnew) {
            host.attested = 0;
        }
    }
    // The API server was stopped: what was on its way to it is lost.
    state.nodes.iter_mut().for_each(|node| node.in_flight = None);
    if guards.has(Guard::OperatorRestarted) {
        state.operators = [None; 2];
    }
    state.seen.awaited = (1 << nodes) - 1;
    true
}
