//! The guards that keep a server from running twice, each with a switch.

use std::fmt;

/// One rule that somebody keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// A placement, a fence, a lifted finalizer carry the resourceVersion they were decided on.
    ResourceVersion,
    /// The schema: the epoch of a placement never falls, the right moves only under a higher one.
    EpochRule,
    /// A new placement has an epoch above every one seen.
    HigherEpoch,
    /// Only the word of the holder, for this epoch, frees a right.
    HoldersWord,
    /// A node that is silent keeps what it holds.
    SilenceIsNoProof,
    /// What is given up is in the log before it is said.
    LogFirst,
    /// A placement for another log than the node's is not taken.
    LogId,
    /// What runs is found before anything is decided.
    AdoptFirst,
    /// After a start of the daemon nothing starts from the log alone.
    ReadAfterStart,
    /// The end of a process makes what was read before it worthless.
    ReadAfterExit,
    /// An attestation counts for the boot it names, and no other.
    FenceNamesBoot,
    /// Before the first start in a boot the daemon writes that boot into the
    /// object, and reads the object again.
    BootClaimed,
    /// A daemon starts nothing under a fenced epoch.
    FenceHonoured,
    /// After a restore nothing is placed, fenced or lifted until it is settled.
    PlacingHalts,
    /// After a restore no daemon takes a right or starts anything until it is settled.
    StartingHalts,
    /// A restore is declared by whoever does it, before anybody is served.
    RestoreDeclared,
    /// Whoever is found to hold a higher epoch is given the placement.
    HolderAdopted,
    /// A daemon that reports its inventory forgets what it read before.
    ReadsDropped,
    /// Attestations from the restored state count for nothing.
    AttestedAnew,
    /// The operator starts anew after a restore.
    OperatorRestarted,
    /// The store gives no resourceVersion twice, not even after a restore.
    RevisionsUnique,
}

impl Guard {
    /// All of them, in the order of the book.
    pub const ALL: [Self; 21] = [
        Self::ResourceVersion,
        Self::EpochRule,
        Self::HigherEpoch,
        Self::HoldersWord,
        Self::SilenceIsNoProof,
        Self::LogFirst,
        Self::LogId,
        Self::AdoptFirst,
        Self::ReadAfterStart,
        Self::ReadAfterExit,
        Self::FenceNamesBoot,
        Self::BootClaimed,
        Self::FenceHonoured,
        Self::PlacingHalts,
        Self::StartingHalts,
        Self::RestoreDeclared,
        Self::HolderAdopted,
        Self::ReadsDropped,
        Self::AttestedAnew,
        Self::OperatorRestarted,
        Self::RevisionsUnique,
    ];
}

/// The guards that are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guards(u32);

impl Guards {
    /// Every guard.
    pub const ALL: Self = Self(u32::MAX);

    /// Without these.
    pub fn without(self, off: &[Guard]) -> Self {
        Self(off.iter().fold(self.0, |bits, guard| bits & !(1 << *guard as u32)))
    }

    /// Whether a guard is on.
    pub fn has(self, guard: Guard) -> bool {
        self.0 & (1 << guard as u32) != 0
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off: Vec<_> = Guard::ALL.into_iter().filter(|guard| !self.has(*guard)).collect();
        write!(f, "all but {off:?}")
    }
}
