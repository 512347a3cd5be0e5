//! What the servers of this node take of it, and which disks they may have
//! open. The one state that tasks share, behind one lock that is never held
//! across a wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use suigen_crds::hypervisor::Orphan;
use suigen_crds::ident::Uid;
use suigen_crds::quantity::human;
use tokio::sync::Notify;

/// Memory that QEMU takes beyond its guest's, counted for every server, in bytes.
pub const OVERHEAD_BYTES: i64 = 80 << 20;

/// A server does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoesNotFit {
    needed: i64,
    free: i64,
}

impl std::fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (needed, free) = (human(self.needed), human(self.free));
        write!(f, "needs {needed} of memory, {free} are free here")
    }
}

/// Shared by all tasks; cheap to clone.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    entries: Arc<Mutex<Entries>>,
    /// Wakes whoever reports the sum.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Entries {
    memory: BTreeMap<Uid, i64>,
    open: BTreeMap<Uid, Vec<Uid>>,
    orphans: BTreeMap<Uid, Orphan>,
}

impl Ledger {
    /// Reserves memory for a server that is taken now, if it fits.
    ///
    /// # Errors
    /// When it does not fit into `limit` beside the others.
    pub fn reserve(&self, server: &Uid, guest_bytes: i64, limit: i64) -> Result<(), DoesNotFit> {
        let mut entries = self.lock();
        let others: i64 =
            entries.memory.iter().filter(|(uid, _)| *uid != server).map(|(_, bytes)| bytes).sum();
        let needed = guest_bytes.saturating_add(OVERHEAD_BYTES);
        let free = limit.saturating_sub(others).max(0);
        if needed > free {
            return Err(DoesNotFit { needed, free });
        }
        entries.memory.insert(server.clone(), needed);
        self.changed.notify_one();
        Ok(())
    }

    /// Counts a server that is held already: it is there whether it fits or not.
    pub fn count(&self, server: &Uid, guest_bytes: i64) {
        let needed = guest_bytes.saturating_add(OVERHEAD_BYTES);
        if self.lock().memory.insert(server.clone(), needed) != Some(needed) {
            self.changed.notify_one();
        }
    }

    /// A server holds nothing here any more.
    pub fn release(&self, server: &Uid) {
        let mut entries = self.lock();
        entries.open.remove(server);
        if entries.memory.remove(server).is_some() {
            self.changed.notify_one();
        }
    }

    /// A server's process has these disks open, or none.
    pub fn open(&self, server: &Uid, disks: Vec<Uid>) {
        self.lock().open.insert(server.clone(), disks);
    }

    /// Whether any process of this node may have the disk open.
    #[must_use]
    pub fn is_open(&self, disk: &Uid) -> bool {
        self.lock().open.values().any(|disks| disks.contains(disk))
    }

    /// Says whether a server's guest is an orphan.
    pub fn orphan(&self, server: &Uid, orphan: Option<Orphan>) {
        let mut entries = self.lock();
        let before = entries.orphans.get(server);
        if before == orphan.as_ref() {
            return;
        }
        match orphan {
            Some(orphan) => entries.orphans.insert(server.clone(), orphan),
            None => entries.orphans.remove(server),
        };
        self.changed.notify_one();
    }

    /// How many servers hold their right here, and the guests that are orphans.
    #[must_use]
    pub fn sum(&self) -> (usize, Vec<Orphan>) {
        let entries = self.lock();
        (entries.memory.len(), entries.orphans.values().cloned().collect())
    }

    /// Waits until the sum may have changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A poisoned lock means that a task panicked between two plain inserts:
    /// the maps are whole.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u8) -> Uid {
        format!("0a000000-0000-4000-8000-0000000000{n:02x}").try_into().unwrap()
    }

    #[test]
    fn a_server_is_refused_when_it_does_not_fit_beside_the_others() {
        let ledger = Ledger::default();
        let limit = 2 * OVERHEAD_BYTES + 300;
        ledger.reserve(&uid(1), 200, limit).unwrap();
        assert!(ledger.reserve(&uid(2), 101, limit).is_err());
        ledger.reserve(&uid(2), 100, limit).unwrap();
        ledger.reserve(&uid(2), 100, limit).unwrap();
        ledger.release(&uid(1));
        ledger.reserve(&uid(3), 200, limit).unwrap();
        assert_eq!(ledger.sum().0, 2);
    }

    #[test]
    fn what_is_held_already_counts_whether_it_fits_or_not() {
        let ledger = Ledger::default();
        ledger.count(&uid(1), 1 << 40);
        assert!(ledger.reserve(&uid(2), 1, 1 << 30).is_err());
    }

    #[test]
    fn an_open_disk_is_known_until_its_server_is_gone() {
        let ledger = Ledger::default();
        ledger.open(&uid(1), vec![uid(9)]);
        assert!(ledger.is_open(&uid(9)));
        ledger.release(&uid(1));
        assert!(!ledger.is_open(&uid(9)));
    }
}
