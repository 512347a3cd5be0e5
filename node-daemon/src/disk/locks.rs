//! One lock a disk: making and erasing a volume never overlap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use suigen_crds::ident::Uid;
use tokio::sync::OwnedMutexGuard;

/// All locks; those that nobody holds or waits for are forgotten.
#[derive(Debug, Default)]
pub struct DiskLocks {
    locks: Mutex<HashMap<Uid, Weak<tokio::sync::Mutex<()>>>>,
}

impl DiskLocks {
    /// Waits for the lock of one disk.
    pub async fn lock(&self, disk: &Uid) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let known = locks.get(disk).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                locks.insert(disk.clone(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_disk_is_held_once_and_others_are_free() {
        let locks = DiskLocks::default();
        let uid = |n: u8| -> Uid {
            format!("0a000000-0000-4000-8000-00000000000{n}").try_into().unwrap()
        };
        let first = locks.lock(&uid(1)).await;
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, locks.lock(&uid(1))).await.is_err());
        assert!(tokio::time::timeout(short, locks.lock(&uid(2))).await.is_ok());
        drop(first);
        assert!(tokio::time::timeout(short, locks.lock(&uid(1))).await.is_ok());
    }
}
