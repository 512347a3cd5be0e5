//! Takes from a tree of unpacked packages exactly what is asked for, and what that needs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::command;

/// The dynamic loader as it lies in the unpacked tree, where `/lib64` is missing.
const LOADER: &str = "/usr/lib64/ld-linux-x86-64.so.2";

/// A copy in the making, from `source` to `target`; paths are relative to both.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    source: &'a Path,
    target: &'a Path,
}

impl<'a> Selection<'a> {
    pub(super) fn new(source: &'a Path, target: &'a Path) -> Self {
        Self { source, target }
    }

    /// Takes a program or shared object and every library the loader would map for it.
    pub(super) fn executable(&mut self, path: &str) -> Result<()> {
        self.data(path)?;
        let mut loader = Command::new("chroot");
        loader.arg(self.source).args([LOADER, "--list"]).arg(Path::new("/").join(path));
        for library in libraries(&command::output(&mut loader)?)? {
            self.data(&library)?;
        }
        Ok(())
    }

    /// Takes a file, a whole directory, or a symbolic link together with what it points to.
    pub(super) fn data(&mut self, path: &str) -> Result<()> {
        let from = self.source.join(path);
        let to = self.target.join(path);
        let kind = fs::symlink_metadata(&from).with_context(|| format!("find {path}"))?.file_type();
        if kind.is_dir() {
            for entry in fs::read_dir(&from)? {
                self.data(&format!("{path}/{}", entry?.file_name().to_string_lossy()))?;
            }
            return Ok(());
        }
        if to.symlink_metadata().is_ok() {
            return Ok(());
        }
        let parent = to.parent().context("a file lies in a directory")?;
        fs::create_dir_all(parent)?;
        if kind.is_symlink() {
            let link = fs::read_link(&from)?;
            symlink(&link, &to)?;
            return self.data(&resolve(Path::new(path), &link)?);
        }
        fs::copy(&from, &to).with_context(|| format!("copy {path}"))?;
        Ok(())
    }
}

/// Reads what `ld.so --list` printed: `name => /path (address)`, one a line.
fn libraries(listing: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for line in listing.lines() {
        if line.contains("not found") {
            bail!("a library is missing: {}", line.trim());
        }
        let path = line.split_whitespace().skip_while(|word| *word != "=>").nth(1);
        found.extend(path.and_then(|path| path.strip_prefix('/')).map(str::to_owned));
    }
    Ok(found)
}

/// The path, relative to the root, that a link found at `at` points to.
fn resolve(at: &Path, link: &Path) -> Result<String> {
    let mut path = PathBuf::new();
    let base = at.parent().unwrap_or(Path::new(""));
    for part in base.join(link).components() {
        match part {
            Component::RootDir => path.clear(),
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path.into_os_string()
        .into_string()
        .map_err(|name| anyhow::anyhow!("{} is not UTF-8", name.display()))
}

/// Gives every entry a mode that depends on its kind only and the same time,
/// so that equal content makes equal trees.
pub(super) fn normalise(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let meta = path.symlink_metadata()?;
        if meta.is_dir() {
            normalise(&path)?;
        } else if meta.is_file() {
            let mode = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        age(&path)?;
    }
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    age(dir)
}

fn age(path: &Path) -> Result<()> {
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = Timestamps { last_access: epoch, last_modification: epoch };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("set the time of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_an_error_and_the_vdso_is_no_library() {
        let listing = "\tlinux-vdso.so.1 (0x1)\n\tlibz.so.1 => /usr/lib/libz.so.1 (0x2)\n";
        assert_eq!(libraries(listing).unwrap(), ["usr/lib/libz.so.1"]);
        assert!(libraries("\tlibz.so.1 => not found\n").is_err());
    }

    #[test]
    fn a_link_leads_from_its_own_directory_or_from_the_root() {
        let at = Path::new("usr/lib64/ld.so");
        assert_eq!(resolve(at, Path::new("../lib/x/ld.so")).unwrap(), "usr/lib/x/ld.so");
        assert_eq!(resolve(at, Path::new("/etc/ld.so")).unwrap(), "etc/ld.so");
    }

    #[test]
    fn a_link_takes_its_target_along() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(source.path().join("lib")).unwrap();
        fs::write(source.path().join("lib/z.so.1.2"), "z").unwrap();
        symlink("z.so.1.2", source.path().join("lib/z.so.1")).unwrap();
        Selection::new(source.path(), target.path()).data("lib/z.so.1").unwrap();
        assert_eq!(fs::read(target.path().join("lib/z.so.1")).unwrap(), b"z");
    }
}
