//! nft for the node-daemon's image: the program and those libraries that the
//! image's base lacks. A builder with a container engine has the same from
//! Debian's package `nftables`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cache::{Cache, Key};
use super::debian;
use super::select::{self, Selection};

const PACKAGES: &[&str] = &["nftables"];
const PROGRAM: &str = "usr/sbin/nft";

/// The directory that is copied over the base's root, built where it is missing.
pub fn ensure(cache: &Cache, base: &Path) -> Result<PathBuf> {
    let mut key = Key::new("nft 1").text(debian::SUITE).text(&base.display().to_string());
    for package in PACKAGES {
        key = key.text(package);
    }
    cache.ensure("nft", &key, |out| {
        let source = out.join("source");
        debian::unpack(PACKAGES, &source)?;
        let whole = out.join("whole");
        fs::create_dir(&whole)?;
        Selection::new(&source, &whole).executable(PROGRAM)?;
        move_missing(&whole, base, out)?;
        for dir in [source, whole] {
            fs::remove_dir_all(&dir).context("remove what was unpacked")?;
        }
        select::normalise(out)
    })
}

/// Moves to `target` what is in `tree` and not in `base`.
fn move_missing(tree: &Path, base: &Path, target: &Path) -> Result<()> {
    for entry in fs::read_dir(tree).with_context(|| format!("list {}", tree.display()))? {
        let entry = entry?;
        let [from, there, to] =
            [tree, base, target].map(|directory| directory.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            move_missing(&from, &there, &to)?;
        } else if there.symlink_metadata().is_err() {
            fs::create_dir_all(target)?;
            fs::rename(&from, &to).with_context(|| format!("move {}", from.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_base_lacks_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for file in ["tree/lib/both", "tree/lib/new", "tree/bin/tool", "base/lib/both"] {
            fs::create_dir_all(path(file).parent().unwrap()).unwrap();
            fs::write(path(file), "").unwrap();
        }
        move_missing(&path("tree"), &path("base"), &path("out")).unwrap();
        assert!(path("out/lib/new").exists() && path("out/bin/tool").exists());
        assert!(!path("out/lib/both").exists());
    }
}
