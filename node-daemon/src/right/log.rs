//! The write-ahead log of one server: a small file, synced before acting.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::history::History;
use super::record::{self, Corruption, Word};

/// Why a word is not on disk, or the log cannot be believed. Either freezes the
/// rights of that server on this node; nothing is started or given up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Reading the file failed.
    #[error("read the run-right log {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing or syncing the file failed: a full disk, a dying one.
    #[error("write the run-right log {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("the run-right log {} cannot be believed", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        source: Corruption,
    },
}

impl LogError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "LogReadFailed",
            Self::Write { .. } => "LogWriteFailed",
            Self::Corrupt { source: Corruption::Damaged { .. }, .. } => "LogCorrupt",
            Self::Corrupt { source: Corruption::Newer { .. }, .. } => "LogFromNewerVersion",
        }
    }

    /// What happened and why, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => format!("{self}: {source}"),
            Self::Corrupt { source, .. } => format!(
                "{self}: {source}; nothing is started or given up until a person decides: with the guest off, remove the file"
            ),
        }
    }
}

/// One server's log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    /// How many words are in it, and how many bytes they take.
    words: usize,
    intact: u64,
    history: History,
}

impl Log {
    /// Reads the log at `path`; one that does not exist is empty.
    ///
    /// # Errors
    /// When it cannot be read or believed.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(LogError::Read { path: path.to_owned(), source }),
        };
        let read = record::decode(&bytes)
            .map_err(|source| LogError::Corrupt { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            words: read.words.len(),
            intact: read.intact as u64,
            history: History::of(&read.words),
        })
    }

    /// What the log amounts to.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Adds a word; when this returns `Ok` it survives a loss of power.
    ///
    /// A failed attempt leaves the log as it was: its bytes are cut off by the
    /// next attempt, and by the next [`Log::open`] if they were torn.
    ///
    /// # Errors
    /// When the word may not be on disk. It must not be acted upon.
    pub fn append(&mut self, word: &Word) -> Result<(), LogError> {
        let written = self.write(word);
        match written {
            Ok(length) => {
                self.words += 1;
                self.intact += length;
                self.history.add(word);
                Ok(())
            }
            Err(source) => Err(LogError::Write { path: self.path.clone(), source }),
        }
    }

    fn write(&self, word: &Word) -> io::Result<u64> {
        let line = record::encode(self.words + 1, word)?;
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        file.set_len(self.intact)?;
        file.seek(SeekFrom::Start(self.intact))?;
        file.write_all(line.as_bytes())?;
        // A sync that failed once may succeed next time without the data
        // (fsync(2), "Errors"), so every attempt writes its bytes again.
        file.sync_all()?;
        if self.words == 0 {
            sync_parent(&self.path)?;
        }
        Ok(line.len() as u64)
    }

    /// Removes the file. Only for a right that was given up and whose object is gone.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<(), LogError> {
        let removed = match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_parent(&self.path),
        };
        removed.map_err(|source| LogError::Write { path: self.path, source })
    }
}

/// Syncs the directory of `path`, so that its name survives a loss of power.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Reads a small text file without its last line end.
pub(super) fn read_line(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(4096).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use suigen_crds::ident::Epoch;

    fn released(epoch: i64) -> Word {
        Word::Released { epoch: Epoch(epoch) }
    }

    #[test]
    fn words_are_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut log = Log::open(&path).unwrap();
        log.append(&released(1)).unwrap();
        log.append(&released(2)).unwrap();
        assert_eq!(Log::open(&path).unwrap().history().given_up, Some(Epoch(2)));
    }

    #[test]
    fn a_torn_end_is_cut_off_by_the_next_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        Log::open(&path).unwrap().append(&released(1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"0123456789abcdef {\"n\":2,\"wo").unwrap();
        let mut log = Log::open(&path).unwrap();
        assert_eq!(log.history().given_up, Some(Epoch(1)));
        log.append(&released(3)).unwrap();
        assert_eq!(Log::open(&path).unwrap().history().given_up, Some(Epoch(3)));
    }

    #[test]
    fn damage_in_the_middle_freezes_the_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut log = Log::open(&path).unwrap();
        log.append(&released(1)).unwrap();
        log.append(&released(2)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Log::open(&path).unwrap_err().reason(), "LogCorrupt");
    }

    #[test]
    fn a_failed_write_changes_nothing_and_heals() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("right").join("a");
        let mut log = Log::open(&path).unwrap();
        assert_eq!(log.append(&released(1)).unwrap_err().reason(), "LogWriteFailed");
        assert_eq!(log.history(), &History::default());
        std::fs::create_dir(dir.path().join("right")).unwrap();
        log.append(&released(1)).unwrap();
        assert_eq!(Log::open(&path).unwrap().history().given_up, Some(Epoch(1)));
    }
}
