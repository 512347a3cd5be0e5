//! The random name of this node's write-ahead log. A wiped node has another,
//! so it holds none of the rights that were given to the old one.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use suigen_crds::ident::{InvalidIdent, LogId};

use super::log::{read_line, sync_parent};

/// Why the node has no log id.
#[derive(Debug, thiserror::Error)]
pub enum LogIdError {
    /// Reading or making the file failed.
    #[error("read or make the log id {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else. It is not replaced: a new id would give up
    /// every right of this node.
    #[error("the log id {} is damaged: put it back, or remove it to give up every server of this node", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidIdent,
    },
}

/// Reads the log id, or makes one where there is none.
///
/// # Errors
/// When it can be neither read nor made, or is damaged.
pub fn ensure(path: &Path) -> Result<LogId, LogIdError> {
    let io_error = |source| LogIdError::Io { path: path.to_owned(), source };
    let text = match read_line(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(io_error)?;
            read_line(path).map_err(io_error)?
        }
        other => other.map_err(io_error)?,
    };
    LogId::try_from(text).map_err(|source| LogIdError::Damaged { path: path.to_owned(), source })
}

/// Writes aside and links, so that the file is never seen half written and an
/// existing one is never replaced.
fn make(path: &Path) -> io::Result<()> {
    let id = read_line(Path::new("/proc/sys/kernel/random/uuid"))?;
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&aside)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    let linked = match std::fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    std::fs::remove_file(&aside)?;
    linked?;
    sync_parent(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log-id");
        let first = ensure(&path).unwrap();
        assert_eq!(ensure(&path).unwrap(), first);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_id_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log-id");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(ensure(&path), Err(LogIdError::Damaged { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}
