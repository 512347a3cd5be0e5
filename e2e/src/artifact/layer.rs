//! Layers of OCI images: uncompressed tar files with nothing of the build in
//! them, so that equal content is an equal digest.
//!
//! Uncompressed because they never leave the machine: packing and unpacking
//! would cost more than reading.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::cache::{Cache, Key};
use super::oci::Blob;

/// Where a layer's content comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// An artifact of the cache: its path names its content.
    Artifact(PathBuf),
    /// A file that anyone may have changed: named by its bytes.
    File(PathBuf),
}

/// Layers of one file come with every build of a program, so few are kept:
/// those of this and of the last few images.
const FILE_LAYER: &str = "file-layer";
const KEPT_FILE_LAYERS: usize = 12;

impl Source {
    fn kind(&self) -> &'static str {
        match self {
            Self::Artifact(_) => "layer",
            Self::File(_) => FILE_LAYER,
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Artifact(path) | Self::File(path) => path,
        }
    }

    fn mark(&self, key: Key) -> Result<Key> {
        match self {
            Self::Artifact(path) => Ok(key.text(&path.to_string_lossy())),
            Self::File(path) => key.file(path),
        }
    }
}

/// The layer that holds `source` at `destination` (a path in the image without
/// leading slash; empty for the root).
pub fn ensure(cache: &Cache, source: &Source, destination: &str) -> Result<Blob> {
    let key = source.mark(Key::new("layer 1").text(destination))?;
    let dir = cache.ensure(source.kind(), &key, |out| write(source.path(), destination, out))?;
    cache.prune(FILE_LAYER, KEPT_FILE_LAYERS)?;
    let digest = fs::read_to_string(dir.join("digest")).context("read a layer's digest")?;
    Blob::file(dir.join("layer.tar"), digest)
}

fn write(source: &Path, destination: &str, out: &Path) -> Result<()> {
    let file = BufWriter::new(File::create(out.join("layer.tar"))?);
    let mut hashing = Hashing { inner: file, digest: Sha256::new() };
    {
        let mut tar = Builder::new(&mut hashing);
        parents(&mut tar, destination)?;
        append(&mut tar, source, Path::new(destination))
            .with_context(|| format!("pack {}", source.display()))?;
        tar.finish()?;
    }
    hashing.inner.flush()?;
    fs::write(out.join("digest"), hex::encode(hashing.digest.finalize()))?;
    Ok(())
}

/// Without entries of their own, a runtime makes missing parents as it likes.
fn parents<W: Write>(tar: &mut Builder<W>, destination: &str) -> Result<()> {
    let mut ancestors: Vec<&Path> = Path::new(destination).ancestors().skip(1).collect();
    ancestors.reverse();
    for dir in ancestors.into_iter().filter(|dir| !is_root(dir)) {
        let mut header = header(EntryType::Directory, 0o755, (0, 0), 0);
        tar.append_data(&mut header, dir, io::empty())?;
    }
    Ok(())
}

fn append<W: Write>(tar: &mut Builder<W>, source: &Path, name: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(source)?;
    let owner = (u64::from(metadata.uid()), u64::from(metadata.gid()));
    let mode = metadata.permissions().mode() & 0o7777;
    let kind = metadata.file_type();
    if kind.is_dir() {
        if !is_root(name) {
            let mut header = header(EntryType::Directory, mode, owner, 0);
            tar.append_data(&mut header, name, io::empty())?;
        }
        let mut children: Vec<_> = fs::read_dir(source)?.collect::<io::Result<_>>()?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            append(tar, &child.path(), &name.join(child.file_name()))?;
        }
    } else if kind.is_symlink() {
        let mut header = header(EntryType::Symlink, 0o777, owner, 0);
        tar.append_link(&mut header, name, fs::read_link(source)?)?;
    } else if kind.is_file() {
        let mut header = header(EntryType::Regular, mode, owner, metadata.len());
        tar.append_data(&mut header, name, File::open(source)?)?;
    }
    // Devices and sockets are left out: a runtime makes /dev itself.
    Ok(())
}

fn is_root(name: &Path) -> bool {
    name.as_os_str().is_empty()
}

fn header(kind: EntryType, mode: u32, owner: (u64, u64), size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_size(size);
    header.set_mtime(0);
    header
}

/// Passes bytes on and hashes them on the way.
struct Hashing<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The SHA-256 of a file as hex digits.
pub fn file_digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_sizes(layer: &Path) -> Vec<(String, u64)> {
        let mut archive = tar::Archive::new(File::open(layer).unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), entry.size())
        });
        entries.collect()
    }

    #[test]
    fn a_layer_depends_on_content_only() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("b")).unwrap();
        fs::write(tree.join("b/file"), "12345").unwrap();
        fs::write(tree.join("a"), "1").unwrap();
        std::os::unix::fs::symlink("a", tree.join("link")).unwrap();
        let digests = ["one", "two"].map(|cache| {
            let cache = Cache::at(dir.path().join(cache)).unwrap();
            let blob = ensure(&cache, &Source::Artifact(tree.clone()), "opt/x").unwrap();
            let found = names_and_sizes(blob.path().unwrap());
            let expected = [
                ("opt", 0),
                ("opt/x", 0),
                ("opt/x/a", 1),
                ("opt/x/b", 0),
                ("opt/x/b/file", 5),
                ("opt/x/link", 0),
            ];
            assert_eq!(found, expected.map(|(name, size)| (name.to_owned(), size)));
            assert_eq!(blob.digest(), file_digest(blob.path().unwrap()).unwrap());
            fs::write(tree.join("a"), "1").unwrap();
            blob.digest().to_owned()
        });
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn a_changed_file_is_another_layer() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let file = dir.path().join("program");
        let digests = ["1", "2"].map(|content| {
            fs::write(&file, content).unwrap();
            ensure(&cache, &Source::File(file.clone()), "program").unwrap().digest().to_owned()
        });
        assert_ne!(digests[0], digests[1]);
    }
}
