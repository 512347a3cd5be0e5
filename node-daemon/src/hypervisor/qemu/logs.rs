//! Logs of a server: bounded, and read from their end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use suigen_crds::ident::Uid;

use crate::host::paths::Paths;

/// A log is cut when it is longer, in bytes. With its older part it takes at
/// most twice that, and what comes between two calls of [`bound`].
const LIMIT: u64 = 1 << 20;

/// Cuts the logs of a server that have grown too long, keeping the older part
/// under the log's name with `.1` after it. To be called about once a minute.
///
/// What QEMU writes between the copy and the cut, some microseconds, is lost.
///
/// # Errors
/// When a log cannot be copied; it is whole then.
pub fn bound(paths: &Paths, server: &Uid) -> io::Result<()> {
    for log in [paths.serial_log(server), paths.qemu_log(server)] {
        match fs::metadata(&log) {
            Ok(meta) if meta.len() > LIMIT => cut(&log)?,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The last lines of a log, at most `length` bytes of it, with those of its
/// older part where it is short. An unreadable log is empty: whoever asks has
/// something more important to say.
#[must_use]
pub fn tail(log: &Path, length: u64) -> String {
    let mut bytes = read_end(log, length).unwrap_or_default();
    let missing = length.saturating_sub(u64::try_from(bytes.len()).unwrap_or(length));
    if missing > 0 {
        let mut older = read_end(&older(log), missing).unwrap_or_default();
        older.append(&mut bytes);
        bytes = older;
    }
    let whole = u64::try_from(bytes.len()).unwrap_or(u64::MAX) < length;
    let start = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if !whole && end + 1 < bytes.len() => end + 1,
        _ => 0,
    };
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

fn older(log: &Path) -> PathBuf {
    log.with_added_extension("1")
}

/// QEMU has the file open and appends to it, so it is emptied, not replaced.
fn cut(log: &Path) -> io::Result<()> {
    let kept = read_end(log, LIMIT)?;
    let aside = log.with_added_extension("new");
    fs::write(&aside, kept)?;
    fs::rename(&aside, older(log))?;
    OpenOptions::new().write(true).open(log)?.set_len(0)
}

fn read_end(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    file.seek(SeekFrom::Start(total.saturating_sub(length)))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_is_cut_under_the_writers_feet() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path(), dir.path(), dir.path());
        let uid = Uid::try_from("0a000000-0000-4000-8000-00000000000f".to_owned()).unwrap();
        fs::create_dir_all(paths.server_dir(&uid)).unwrap();
        let log = paths.serial_log(&uid);
        let mut writer = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        for line in 0..200_000 {
            writeln!(writer, "line {line}").unwrap();
        }
        bound(&paths, &uid).unwrap();
        writeln!(writer, "after").unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "after\n");
        let end = tail(&log, 30);
        assert_eq!(end, "line 199999\nafter\n");
        assert!(fs::metadata(older(&log)).unwrap().len() <= LIMIT);
    }

    #[test]
    fn a_short_log_is_shown_whole_and_a_missing_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("qemu.log");
        assert_eq!(tail(&log, 100), "");
        fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(tail(&log, 100), "one\ntwo\n");
    }
}
