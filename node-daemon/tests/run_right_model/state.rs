//! What there is: the store, the nodes, the operators. Small and `Copy`, since
//! there are hundreds of thousands of states.
//!
//! Epochs, boots, logs and revisions are small numbers; 0 means none.

use crate::guards::{Guard, Guards};

/// The most nodes of a scope.
pub const MAX_NODES: usize = 3;

/// The run right, as in `status.placement`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placed {
    pub node: u8,
    pub epoch: u8,
    pub log: u8,
}

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// It is being started in this boot, or runs.
    Starting,
    /// The placement was declined.
    Refused,
    /// The right was given up as the server ends.
    Released,
}

/// A report, as in `status.runtime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Said {
    pub node: u8,
    pub epoch: u8,
    pub word: Word,
    pub released: u8,
    pub boot: u8,
}

/// The server, as the store has it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    pub placed: Option<Placed>,
    pub said: Option<Said>,
    /// The epoch of `status.fence`.
    pub fence: u8,
    pub deleting: bool,
}

/// What a node was found to hold when a restore was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Inventory {
    /// Up to this epoch; 0 for nothing.
    Holds(u8),
    /// A guest of which nobody knows the epoch.
    Unknown,
}

/// A Hypervisor.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Host {
    /// As the daemon reported last.
    pub boot: u8,
    /// As the daemon reported last.
    pub log: u8,
    /// The boot that a person attests to be over.
    pub attested: u8,
    /// Reported since the last restore.
    pub inventory: Option<Inventory>,
}

/// All that the store holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Api {
    /// The server's resourceVersion.
    pub rv: u8,
    pub object: Option<Object>,
    pub hosts: [Host; MAX_NODES],
    /// The store was restored, and who holds what is not settled yet.
    pub settling: bool,
    /// The highest resourceVersion that the store ever gave; it knows it still
    /// after a restore only if somebody sees to it.
    pub revision: u8,
}

impl Api {
    /// Writes the server, if the schema admits it.
    pub fn put(&mut self, guards: Guards, object: Option<Object>) -> bool {
        let before = self.object.and_then(|object| object.placed);
        let after = object.and_then(|object| object.placed);
        let admitted = match (before, after) {
            (Some(before), Some(after)) if guards.has(Guard::EpochRule) => {
                after.epoch > before.epoch || after == before
            }
            _ => true,
        };
        let news = admitted && self.object != object;
        if news {
            self.object = object;
            self.revision += 1;
            self.rv = self.revision;
        }
        news
    }

    /// Takes in a report. The schema refuses one from a lower epoch than the
    /// last, a policy one from a node where the server is not placed.
    pub fn report(&mut self, said: Said) {
        let Some(object) = self.object else { return };
        let here = object.placed.is_some_and(|placed| placed.node == said.node);
        let older = object.said.is_some_and(|last| said.epoch < last.epoch);
        if here && !older && object.said != Some(said) {
            self.put(Guards::ALL, Some(Object { said: Some(said), ..object }));
        }
    }
}

/// What a daemon read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Known {
    pub object: Option<Object>,
    pub settling: bool,
}

/// A running daemon's memory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Daemon {
    pub known: Option<Known>,
    /// The epoch whose placement does not fit here.
    pub declined: u8,
}

/// A server's log on a node, summed up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Log {
    pub id: u8,
    pub held: u8,
    pub given_up: u8,
    pub refused: u8,
    pub highest: u8,
}

/// A node.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    pub on: bool,
    pub boot: u8,
    pub log: Log,
    /// The epoch under which a guest runs here.
    pub guest: u8,
    /// Whether a record on the node tells that epoch.
    pub recorded: bool,
    pub daemon: Option<Daemon>,
    /// A report under way: it may arrive whatever becomes of its sender.
    pub in_flight: Option<Said>,
    /// Not known to anybody: the highest epoch that this node ever gave up.
    pub gave_up: u8,
}

/// What may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    pub power_offs: u8,
    pub log_losses: u8,
    pub deletions: u8,
    pub restores: u8,
}

/// What only the checker sees.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// A placement's epoch fell, other than by a restore.
    pub fell: bool,
    /// Nodes, as bits, of which nothing was heard since the restore.
    pub awaited: u8,
    /// Something was placed while some were.
    pub placed_early: bool,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    pub api: Api,
    pub backup: Option<Api>,
    pub nodes: [Node; MAX_NODES],
    /// What each operator's store shows; none after its start.
    pub operators: [Option<Api>; 2],
    pub left: Left,
    pub seen: Seen,
}
