//! The identity on disk, readable by root only.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CertificateError, Pem};

/// The present time, since 1970.
pub fn now() -> Duration {
    let now = jiff::Timestamp::now().as_second();
    Duration::from_secs(u64::try_from(now).unwrap_or(0))
}

/// What was kept, and when; none where anything is missing.
pub fn load(dir: &Path) -> Option<(Pem, Duration)> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
    let pem = Pem { key: read("key.pem")?, certificate: read("cert.pem")?, ca: read("ca.pem")? };
    let written: SystemTime = std::fs::metadata(dir.join("cert.pem")).ok()?.modified().ok()?;
    Some((pem, written.duration_since(UNIX_EPOCH).ok()?))
}

/// Keeps an identity. A crash between two files leaves a pair that does not
/// match, which is unusable and so asked for again.
pub fn keep(dir: &Path, pem: &Pem) -> Result<(), CertificateError> {
    let error = |source| CertificateError::Store { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(error)?;
    for (name, text) in [("ca.pem", &pem.ca), ("key.pem", &pem.key), ("cert.pem", &pem.certificate)]
    {
        write(&dir.join(name), text).map_err(error)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let tls = dir.path().join("tls");
        assert!(load(&tls).is_none());
        let pem = Pem { key: "k".into(), certificate: "c".into(), ca: "a".into() };
        keep(&tls, &pem).unwrap();
        assert_eq!(load(&tls).unwrap().0, pem);
    }
}
