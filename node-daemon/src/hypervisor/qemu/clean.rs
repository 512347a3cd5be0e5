//! Removes what an incarnation, and at the end a server, leaves on the node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use suigen_crds::ident::Uid;

use super::user_id;
use crate::host::cgroup::{Cgroup, CgroupError};
use crate::host::paths::Paths;

/// A killed process that waits for storage ends when the storage answers; the
/// caller tries again later.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why something of a server is still there.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// Its cgroup is.
    #[error("remove the cgroup of a server")]
    Cgroup(#[from] CgroupError),
    /// A file or directory is.
    #[error("remove {}", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CleanError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Cgroup(error) => error.reason(),
            Self::Remove { .. } => "CleanFailed",
        }
    }
}

/// Ends an incarnation for good: kills what runs of it, removes its cgroup and
/// its sockets, frees its user id. Its logs stay. May be called again.
///
/// # Errors
/// When its processes do not end, or the node does not obey. All of it is then
/// to be tried again; the disks may still be open.
pub fn clean(paths: &Paths, server: &Uid, incarnation: i64) -> Result<(), CleanError> {
    let cgroup = Cgroup::at(paths.incarnation_cgroup(server, incarnation));
    cgroup.kill()?;
    cgroup.remove(PATIENCE)?;
    let spec = paths.jail_spec(server, incarnation);
    match fs::remove_file(&spec) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(CleanError::Remove { path: spec, source: error });
        }
        _ => {}
    }
    remove_tree(&paths.incarnation_run_dir(server, incarnation))?;
    user_id::free(paths, server, incarnation)
        .map_err(|source| CleanError::Remove { path: paths.user_ids(), source })
}

/// Removes all that is kept of a server but its volumes and its run-right log.
/// Its incarnations are cleaned before. May be called again.
///
/// # Errors
/// When the node does not obey.
pub fn remove_server(paths: &Paths, server: &Uid) -> Result<(), CleanError> {
    Cgroup::at(paths.server_cgroup(server)).remove(PATIENCE)?;
    remove_tree(&paths.server_run_dir(server))?;
    remove_tree(&paths.server_dir(server))
}

fn remove_tree(path: &Path) -> Result<(), CleanError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CleanError::Remove { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
