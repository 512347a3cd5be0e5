//! Facts on disk: what is hosted is served after a restart before the API was
//! asked, and while it is away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::facts::Facts;

/// The form of the file.
const VERSION: u32 = 1;

/// Why facts are not kept or not found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, though it may be there.
    #[error("read {path}")]
    Read { path: PathBuf, source: io::Error },
    /// The file cannot be written.
    #[error("write {path}")]
    Write { path: PathBuf, source: io::Error },
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "FactsUnreadable",
            Self::Write { .. } => "FactsNotWritten",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    version: u32,
    facts: T,
}

/// Reads the facts; none where there are none to believe: no file, or one that
/// is damaged or of a newer version, which is moved aside.
///
/// # Errors
/// When nobody can tell whether there are any.
pub fn load(path: &Path) -> Result<Option<Facts>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed)?,
    };
    match parse(&bytes) {
        Ok(facts) => Ok(Some(facts)),
        Err(why) => {
            let aside = path.with_extension("unreadable");
            tracing::warn!(
                path = %path.display(), aside = %aside.display(), why,
                "the kept networks cannot be used and are moved aside; nothing changes until the API was asked"
            );
            fs::rename(path, &aside).map_err(failed)?;
            Ok(None)
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Facts, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |error: serde_json::Error| format!("damaged: {error}");
    let Version { version } = serde_json::from_slice(bytes).map_err(damaged)?;
    if version != VERSION {
        return Err(format!("of version {version}, this program reads {VERSION}"));
    }
    let file: Kept<Facts> = serde_json::from_slice(bytes).map_err(damaged)?;
    Ok(file.facts)
}

/// Replaces the facts; when this returns they survive a loss of power.
///
/// # Errors
/// When they may not be on disk; those before them still are.
pub fn save(path: &Path, facts: &Facts) -> Result<(), Error> {
    replace(path, facts).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, facts: &Facts) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent)?;
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec(&Kept { version: VERSION, facts })?)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::feed::fixtures::facts;

    #[test]
    fn what_is_kept_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network/desired.json");
        assert_eq!(load(&path).unwrap(), None);
        save(&path, &facts()).unwrap();
        save(&path, &facts()).unwrap();
        assert_eq!(load(&path).unwrap(), Some(facts()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_believed_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("desired.json");
        for bad in ["{", "", r#"{"version": 2, "facts": {"all": "else"}}"#, r#"{"version": 1}"#] {
            fs::write(&path, bad).unwrap();
            assert_eq!(load(&path).unwrap(), None, "{bad}");
            assert!(!path.exists());
            assert_eq!(fs::read_to_string(dir.path().join("desired.unreadable")).unwrap(), bad);
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap_err().reason(), "FactsUnreadable");
    }
}
