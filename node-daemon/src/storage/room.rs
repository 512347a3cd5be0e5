//! Room on the node's file system.

use std::io;
use std::path::{Path, PathBuf};

use suigen_crds::quantity::human;

/// Least that stays free, in bytes: a full file system stops the run-right
/// logs, and with them every server.
const KEPT_BYTES: u64 = 1 << 30;
/// Or this share of the file system, in percent, where that is less.
const KEPT_PERCENT: u64 = 5;

/// Why there is no room.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// It would fill the file system too far.
    #[error(
        "the file system of {} has {} left for images and disks, {} are needed; free some space on the node",
        path.display(), human(*left), human(*needed)
    )]
    Full {
        /// A directory of the file system.
        path: PathBuf,
        /// What may still be used, in bytes.
        left: i64,
        /// What is needed, in bytes.
        needed: i64,
    },
    /// The file system does not say how full it is.
    #[error("ask how full {} is", path.display())]
    Unknown {
        /// A directory of the file system.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Holds that `needed` more bytes fit into the file system of `dir`, and that
/// enough stays free besides.
///
/// # Errors
/// When they do not.
pub fn check(dir: &Path, needed: u64) -> Result<(), RoomError> {
    let stat = rustix::fs::statvfs(dir)
        .map_err(|error| RoomError::Unknown { path: dir.to_owned(), source: error.into() })?;
    let left = left(stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize);
    if needed > left {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let (left, needed) = (signed(left), signed(needed));
        return Err(RoomError::Full { path: dir.to_owned(), left, needed });
    }
    Ok(())
}

fn left(total: u64, free: u64) -> u64 {
    let kept = KEPT_BYTES.min(total / 100 * KEPT_PERCENT);
    free.saturating_sub(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_system_keeps_a_share_and_a_large_one_an_amount() {
        assert_eq!(left(1_000_000, 50_000), 0);
        assert_eq!(left(1_000_000, 60_000), 10_000);
        assert_eq!(left(1 << 40, 3 << 30), 2 << 30);
    }

    #[test]
    fn what_does_not_fit_is_said_in_numbers() {
        let error = check(&std::env::temp_dir(), u64::MAX / 4).unwrap_err();
        assert!(matches!(error, RoomError::Full { .. }), "{error}");
        assert!(error.to_string().contains("TiB are needed"), "{error}");
    }
}
