//! Where a server stands: a closed set, on which all words depend.

use suigen_crds::ident::NodeName;
use suigen_crds::virtual_server::{Placement, Runtime};

use crate::placement::Misfit;

/// Where a server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is to go, but so is its CRD.
    CrdTerminating,
    /// It is to go; its holder powers it off.
    Releasing(Placement),
    /// It is to go, and nobody holds its right; its ports are being removed
    /// from these nodes.
    Unplugging(String),
    /// It is to go, and nothing of it is left but disks and addresses: these
    /// are given back, then it goes.
    Clearing,
    /// Somebody holds its right.
    Held(Placement),
    /// It is placed by this very plan.
    Placing(Placement),
    /// Nobody holds its right, and none is given out.
    Unplaced(Why),
}

/// Why a server is not placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is to be off.
    PoweredOff,
    /// Something that it names is not there, or not ready.
    Waits(Problem),
    /// A person must act.
    Blocked(Problem),
    /// No hypervisor takes it.
    NoRoom {
        /// For people.
        message: String,
        /// Whether only recent refusals stand against some hypervisor.
        only_refused: bool,
    },
    /// A store does not show our last write yet.
    Behind,
}

/// A problem with a word for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Whether it goes by itself within moments.
    pub passing: bool,
}

impl Problem {
    /// A problem that stays until somebody acts.
    pub const fn new(reason: &'static str, message: String) -> Self {
        Self { reason, message, passing: false }
    }

    /// A step that is under way.
    pub const fn passing(reason: &'static str, message: String) -> Self {
        Self { reason, message, passing: true }
    }
}

/// What stands in the way of a server because of a disk or an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hurdle {
    /// It is waited for.
    Waits(Problem),
    /// A person must act.
    Blocked(Problem),
}

impl Hurdle {
    /// What it is.
    pub const fn problem(&self) -> &Problem {
        match self {
            Self::Waits(problem) | Self::Blocked(problem) => problem,
        }
    }
}

impl From<Hurdle> for Why {
    fn from(hurdle: Hurdle) -> Self {
        match hurdle {
            Hurdle::Waits(problem) => Self::Waits(problem),
            Hurdle::Blocked(problem) => Self::Blocked(problem),
        }
    }
}

/// Whether every misfit list is either about other things or refusals only for
/// at least one node.
pub fn only_refused(misfits: &[(NodeName, Vec<Misfit>)]) -> bool {
    misfits.iter().any(|(_, against)| {
        !against.is_empty() && against.iter().all(|m| matches!(m, Misfit::RefusedLately(_)))
    })
}

/// What the holder of a right said under it; older words do not count.
pub fn word_of_holder<'a>(
    placement: &Placement,
    runtime: Option<&'a Runtime>,
) -> Option<&'a Runtime> {
    runtime.filter(|said| said.node_name == placement.node_name && said.epoch == placement.epoch)
}
