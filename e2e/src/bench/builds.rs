//! How long builds took, told from the cache: a build's lock is made when it
//! begins, and its directory gets its name when it ends.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::artifact::cache::Cache;

/// One artifact of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// What it is.
    pub name: String,
    /// Seconds from begin to end.
    pub seconds: i64,
    /// Its size on disk, in bytes.
    pub bytes: u64,
}

/// The newest artifact of every name, the slowest first.
pub fn of_cache(cache: &Cache) -> Result<Vec<Build>> {
    let mut newest: BTreeMap<String, (i64, Build)> = BTreeMap::new();
    for entry in fs::read_dir(cache.root()).context("list the cache")? {
        let path = entry?.path();
        let Some((name, ended, build)) = look(&path)? else { continue };
        if newest.get(&name).is_none_or(|(known, _)| *known < ended) {
            newest.insert(name, (ended, build));
        }
    }
    let mut builds: Vec<Build> = newest.into_values().map(|(_, build)| build).collect();
    builds.sort_by_key(|build| -build.seconds);
    Ok(builds)
}

fn look(path: &Path) -> Result<Option<(String, i64, Build)>> {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((name, key)) = file_name.rsplit_once('-') else { return Ok(None) };
    let lock = path.with_extension("lock");
    if key.len() != 16 || !path.is_dir() || !lock.exists() {
        return Ok(None);
    }
    let ended = fs::metadata(path)?.ctime();
    let seconds = ended - fs::metadata(&lock)?.mtime();
    let build = Build { name: name.to_owned(), seconds, bytes: size(path)? };
    Ok(Some((name.to_owned(), ended, build)))
}

fn size(path: &Path) -> Result<u64> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    let entries = fs::read_dir(path)?;
    entries.map(|entry| size(&entry?.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::cache::Key;

    #[test]
    fn a_build_lasts_from_its_lock_to_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let slow = cache.ensure("slow", &Key::new("slow 1"), |out| {
            Ok(fs::write(out.join("file"), vec![1; 10_000])?)
        });
        let lock = fs::File::options().write(true).open(slow.unwrap().with_extension("lock"));
        let lock = lock.unwrap();
        let made = lock.metadata().unwrap().modified().unwrap();
        lock.set_modified(made - std::time::Duration::from_secs(70)).unwrap();
        cache.ensure("quick", &Key::new("quick 1"), |_| Ok(())).unwrap();
        fs::create_dir(dir.path().join("lab")).unwrap();
        let builds = of_cache(&cache).unwrap();
        let names: Vec<&str> = builds.iter().map(|build| build.name.as_str()).collect();
        assert_eq!(names, ["slow", "quick"]);
        assert!((69..=72).contains(&builds[0].seconds), "{builds:?}");
        assert!(builds[0].bytes >= 10_000 && builds[1].bytes == 0, "{builds:?}");
    }
}
