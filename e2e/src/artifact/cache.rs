//! Build once, by content: an artifact's directory is named by the hash of
//! everything that went into it, so a changed input makes a new directory and
//! an unchanged one costs a look-up.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

/// The inputs of an artifact, hashed in the order they are added.
///
/// Each part is framed by its length, so two different lists of parts never
/// hash alike.
#[derive(Debug, Clone)]
pub struct Key(Sha256);

impl Key {
    /// Starts a key; `recipe` names the recipe and its version
    /// (`"tiny-image 3"`): raise the number when the code that builds changes
    /// in a way that no other input shows.
    pub fn new(recipe: &str) -> Self {
        Self(Sha256::new()).text(recipe)
    }

    /// Adds a string: an argument, a version, another artifact's directory name.
    pub fn text(mut self, part: &str) -> Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part.as_bytes());
        self
    }

    /// Adds a file's content.
    pub fn file(self, path: &Path) -> Result<Self> {
        let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let digest = hex::encode(Sha256::digest(&content));
        Ok(self.text(&digest))
    }

    /// Adds every file below a directory: relative names and contents, in name order.
    pub fn tree(mut self, dir: &Path) -> Result<Self> {
        let mut entries: Vec<_> = fs::read_dir(dir)
            .with_context(|| format!("list {}", dir.display()))?
            .collect::<std::io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self = self.text(&entry.file_name().to_string_lossy());
            let path = entry.path();
            self = if entry.file_type()?.is_dir() { self.tree(&path)? } else { self.file(&path)? };
        }
        Ok(self)
    }

    fn short(&self) -> String {
        hex::encode(self.0.clone().finalize())[..16].to_owned()
    }
}

/// A directory of finished artifacts.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the cache: `$SUIGEN_CACHE`, else `suigen` in the user's cache directory.
    pub fn open() -> Result<Self> {
        let root = match std::env::var_os("SUIGEN_CACHE") {
            Some(dir) => PathBuf::from(dir),
            None => user_cache_dir()?.join("suigen"),
        };
        Self::at(root)
    }

    /// Opens a cache at a directory of the caller's choice.
    pub fn at(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
        Ok(Self { root })
    }

    /// The directory that holds every artifact.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directory of the artifact, building it first where it is missing.
    ///
    /// `build` gets an empty directory to fill. It becomes visible under its
    /// final name only when `build` succeeded, and two processes never build
    /// the same artifact at once: the second waits and finds it done.
    pub fn ensure(
        &self,
        name: &str,
        key: &Key,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let done = self.root.join(format!("{name}-{}", key.short()));
        if done.is_dir() {
            return Ok(done);
        }
        let lock_path = done.with_extension("lock");
        let lock =
            File::create(&lock_path).with_context(|| format!("create {}", lock_path.display()))?;
        flock(&lock, FlockOperation::LockExclusive).context("lock the artifact")?;
        if done.is_dir() {
            return Ok(done);
        }
        let partial = done.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("remove {}", partial.display()))?;
        }
        fs::create_dir(&partial).with_context(|| format!("create {}", partial.display()))?;
        build(&partial).with_context(|| format!("build {name}"))?;
        fs::rename(&partial, &done).with_context(|| format!("finish {}", done.display()))?;
        Ok(done)
    }
}

impl Cache {
    /// Removes all but the newest `keep` artifacts of that name: for what every
    /// change of a program makes anew.
    pub fn prune(&self, name: &str, keep: usize) -> Result<()> {
        let prefix = format!("{name}-");
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).context("list the cache")? {
            let entry = entry?;
            let is_one = entry.file_name().to_str().is_some_and(|entry_name| {
                entry_name.strip_prefix(&prefix).is_some_and(|key| key.len() == 16)
            });
            if is_one {
                found.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        found.sort();
        found.reverse();
        for (_, path) in found.into_iter().skip(keep) {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
            let _ = fs::remove_file(path.with_extension("lock"));
        }
        Ok(())
    }
}

fn user_cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::var_os("HOME").context("neither SUIGEN_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_leaves_no_artifact_and_the_next_one_starts_clean() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let key = Key::new("x 1");
        let failed = cache.ensure("x", &key, |out| {
            fs::write(out.join("half"), "")?;
            anyhow::bail!("no")
        });
        assert!(failed.is_err());
        let built = cache
            .ensure("x", &key, |out| {
                assert!(!out.join("half").exists());
                Ok(fs::write(out.join("whole"), "")?)
            })
            .unwrap();
        assert!(built.join("whole").exists());
        let again = cache.ensure("x", &key, |_| anyhow::bail!("built twice")).unwrap();
        assert_eq!(built, again);
    }

    #[test]
    fn pruning_keeps_the_newest_of_that_name_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let make = |name: &str, key: &str| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            cache.ensure(name, &Key::new(key), |_| Ok(())).unwrap()
        };
        let (old, new, other) = (make("x", "1"), make("x", "2"), make("x-y", "1"));
        cache.prune("x", 1).unwrap();
        assert_eq!((old.exists(), new.exists(), other.exists()), (false, true, true));
    }

    #[test]
    fn keys_differ_when_parts_are_cut_differently() {
        assert_ne!(Key::new("a").text("bc").short(), Key::new("ab").text("c").short());
    }
}
