//! One daemon acts on a node's state. The lock is the kernel's, so it ends with
//! its holder, however that ends.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use tokio_util::sync::CancellationToken;

/// How often a lock that another daemon holds is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Waits for the lock; none when the daemon is stopped first.
///
/// # Errors
/// When the file cannot be opened or locked.
pub async fn hold(path: &Path, stop: &CancellationToken) -> anyhow::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let mut said = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error).with_context(|| format!("lock {}", path.display())),
        }
        if !said {
            tracing::warn!(lock = %path.display(), "another daemon acts on this node; waiting for it to end");
            said = true;
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_daemon_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let stop = CancellationToken::new();
        let first = hold(&path, &stop).await.unwrap().unwrap();
        let short = Duration::from_millis(50);
        assert!(tokio::time::timeout(short, hold(&path, &stop)).await.is_err());
        drop(first);
        assert!(hold(&path, &stop).await.unwrap().is_some());
    }
}
