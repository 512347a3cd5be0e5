//! The record of a server's run: one small JSON file, replaced whole. It is
//! written before QEMU starts, so that whatever is found running has one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use suigen_crds::ident::{BootId, Epoch, Sha256, Uid};

use super::situation::Ending;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Reading failed.
    #[error("read the record {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing failed.
    #[error("write the record {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RecordError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "RecordReadFailed",
            Self::Write { .. } => "RecordWriteFailed",
        }
    }
}

/// One run of a server, or its last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incarnation {
    /// Namespace of the server.
    pub namespace: String,
    /// Name of the server.
    pub name: String,
    /// The right that it was started under.
    pub epoch: Epoch,
    /// Which start this is, counted over the server's life on this node.
    pub incarnation: i64,
    /// The boot of the node in which it was started.
    pub boot_id: BootId,
    /// Digest of the bundle that runs it.
    pub bundle: String,
    /// Disks that it has open.
    pub disks: Vec<Uid>,
    /// Memory that it takes from the node, in bytes.
    pub memory_bytes: i64,
    /// Digest of the first boot data that it was started with; none of a run
    /// that an earlier version started without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_boot_digest: Option<Sha256>,
    /// When its guest began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// This daemon is powering it off: a poweroff is not the guest's own.
    #[serde(default)]
    pub powering_off: bool,
    /// Starts that failed in a row.
    #[serde(default)]
    pub failures: u32,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub how: Ending,
    /// One word for programs.
    pub reason: String,
    /// What people should know of it, with the last lines of QEMU's log.
    pub message: String,
}

impl Ended {
    /// An end by name.
    pub fn new(how: Ending, reason: &str, message: impl Into<String>) -> Self {
        Self { how, reason: reason.to_owned(), message: message.into() }
    }
}

impl Incarnation {
    /// Reads the record at `path`; none where there was no run.
    ///
    /// # Errors
    /// When it cannot be read, or is no record.
    pub fn read(path: &Path) -> Result<Option<Self>, RecordError> {
        let error = |source| RecordError::Read { path: path.to_owned(), source };
        match std::fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|e| error(io::Error::from(e)))
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(error(source)),
        }
    }

    /// Writes the record to `path`; when this returns it survives a loss of power.
    ///
    /// # Errors
    /// When it may not be on disk; the one before it still is.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        replace(path, self).map_err(|source| RecordError::Write { path: path.to_owned(), source })
    }
}

fn replace(path: &Path, record: &Incarnation) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)?;
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::vm) fn example() -> Incarnation {
        Incarnation {
            namespace: "acme".into(),
            name: "web-1".into(),
            epoch: Epoch(1),
            incarnation: 3,
            boot_id: "0a000000-0000-4000-8000-00000000000b".to_owned().try_into().unwrap(),
            bundle: "d".repeat(32),
            disks: vec![],
            memory_bytes: 1 << 28,
            first_boot_digest: Some("0".repeat(64).try_into().unwrap()),
            started_at: None,
            powering_off: false,
            failures: 0,
            ended: None,
        }
    }

    #[test]
    fn a_record_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server").join("incarnation.json");
        assert_eq!(Incarnation::read(&path).unwrap(), None);
        let mut record = example();
        record.write(&path).unwrap();
        record.ended = Some(Ended::new(Ending::Failed, "QemuExited", "signal 11"));
        record.write(&path).unwrap();
        assert_eq!(Incarnation::read(&path).unwrap(), Some(record));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_record_of_an_earlier_version_is_read() {
        let mut record = serde_json::to_value(example()).unwrap();
        record.as_object_mut().unwrap().remove("firstBootDigest");
        let read: Incarnation = serde_json::from_value(record).unwrap();
        assert_eq!(read, Incarnation { first_boot_digest: None, ..example() });
    }

    #[test]
    fn a_damaged_record_is_said_and_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incarnation.json");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Incarnation::read(&path).unwrap_err().reason(), "RecordReadFailed");
    }
}
