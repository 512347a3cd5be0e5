//! QEMU bundles: immutable directories with QEMU, its firmware and libraries,
//! named by the digest of their `MANIFEST`. They come with the daemon's image
//! and are copied to the node, where they stay for the servers that run them.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use suigen_crds::hypervisor::Bundle;

use super::paths::Paths;
use manifest::{Entry, Kind, Manifest};

mod manifest;

/// Hexadecimal digits of a bundle's name.
const DIGEST_LENGTH: usize = 32;

/// Why a bundle cannot be laid down or listed.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file or directory did not obey.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The content is not what the manifest, or the manifest not what the name says.
    #[error("bundle {} is damaged: {what}; install the node-daemon's image again", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl BundleError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "BundleNotReadable",
            Self::Damaged { .. } => "BundleDamaged",
        }
    }

    fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}

/// Copies every bundle below `source` to the node, verifying each file, and
/// returns what [`installed`] does. A bundle that is there is trusted: only a
/// complete copy ever gets its name. A `source` that does not exist has none.
///
/// # Errors
/// When a copy fails or a bundle is not what its name says. Bundles before it
/// are laid down.
pub fn lay_down(source: &Path, paths: &Paths) -> Result<Vec<Bundle>, BundleError> {
    let target = paths.bundles();
    fs::create_dir_all(&target).map_err(io_error("create", &target))?;
    remove_partial_copies(&target)?;
    let mut newest = Vec::new();
    for digest in digests(source)? {
        let finished = paths.bundle(&digest);
        if !finished.is_dir() {
            copy(&source.join(&digest), &digest, &target, &finished)?;
        }
        newest.push(digest);
    }
    let mut bundles = installed(paths)?;
    bundles.sort_by_key(|bundle| !newest.contains(&bundle.digest));
    Ok(bundles)
}

/// The bundles on the node, by digest.
///
/// # Errors
/// When one of them cannot be read.
pub fn installed(paths: &Paths) -> Result<Vec<Bundle>, BundleError> {
    digests(&paths.bundles())?
        .into_iter()
        .map(|digest| {
            let qemu_version = qemu_version(&paths.bundle(&digest))?;
            Ok(Bundle { digest, qemu_version })
        })
        .collect()
}

fn qemu_version(bundle: &Path) -> Result<String, BundleError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Description {
        qemu_version: String,
    }
    let path = bundle.join("BUNDLE.json");
    let text = fs::read(&path).map_err(io_error("read", &path))?;
    let description: Description = serde_json::from_slice(&text)
        .map_err(|error| BundleError::damaged(bundle, format!("BUNDLE.json: {error}")))?;
    Ok(description.qemu_version)
}

fn digests(dir: &Path) -> Result<Vec<String>, BundleError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    let mut digests = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_error("list", dir))?.file_name();
        digests.extend(name.to_str().filter(|name| is_digest(name)).map(str::to_owned));
    }
    digests.sort_unstable();
    Ok(digests)
}

fn is_digest(name: &str) -> bool {
    name.len() == DIGEST_LENGTH && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn remove_partial_copies(target: &Path) -> Result<(), BundleError> {
    for entry in fs::read_dir(target).map_err(io_error("list", target))? {
        let path = entry.map_err(io_error("list", target))?.path();
        if path.extension() == Some(OsStr::new("part")) {
            fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, digest: &str, target: &Path, finished: &Path) -> Result<(), BundleError> {
    let path = from.join("MANIFEST");
    let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
    if !hex::encode(Sha256::digest(&text)).starts_with(digest) {
        return Err(BundleError::damaged(from, "its MANIFEST is not the one it is named after"));
    }
    let manifest = Manifest::parse(&text).map_err(|what| BundleError::damaged(from, what))?;
    let partial = target.join(format!("{digest}.part"));
    fs::create_dir(&partial).map_err(io_error("create", &partial))?;
    for entry in &manifest.entries {
        copy_entry(from, &partial, entry)?;
    }
    let path = partial.join("MANIFEST");
    fs::write(&path, &text).map_err(io_error("write", &path))?;
    // One call instead of an fsync for each of hundreds of files.
    let directory = File::open(&partial).map_err(io_error("open", &partial))?;
    rustix::fs::syncfs(&directory).map_err(|e| io_error("sync", &partial)(e.into()))?;
    fs::rename(&partial, finished).map_err(io_error("rename", &partial))?;
    File::open(target).and_then(|dir| dir.sync_all()).map_err(io_error("sync", target))
}

fn copy_entry(from: &Path, to: &Path, entry: &Entry) -> Result<(), BundleError> {
    let (source, target) = (from.join(&entry.path), to.join(&entry.path));
    match &entry.kind {
        Kind::Directory { mode } => {
            fs::create_dir(&target).map_err(io_error("create", &target))?;
            let permissions = Permissions::from_mode(*mode);
            fs::set_permissions(&target, permissions).map_err(io_error("set mode of", &target))
        }
        Kind::Link { target: to } => symlink(to, &target).map_err(io_error("link", &target)),
        Kind::File { mode, sha256 } => {
            let content = fs::read(&source).map_err(io_error("read", &source))?;
            if hex::encode(Sha256::digest(&content)) != *sha256 {
                return Err(BundleError::damaged(
                    from,
                    format!("{} has another digest", entry.path),
                ));
            }
            fs::write(&target, content).map_err(io_error("write", &target))?;
            let permissions = Permissions::from_mode(*mode);
            fs::set_permissions(&target, permissions).map_err(io_error("set mode of", &target))
        }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| BundleError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
