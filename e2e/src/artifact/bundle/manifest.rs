//! The list of everything in a bundle, by which a node checks its copy.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Writes `MANIFEST` into a finished tree and returns the bundle's digest:
/// the first 32 hexadecimal digits of the manifest's SHA-256.
///
/// One line an entry, in byte order of the paths: `f <octal mode> <sha256> <path>`,
/// `l <target> <path>` or `d <octal mode> <path>`.
pub(super) fn write(tree: &Path) -> Result<String> {
    let mut entries = Vec::new();
    list(tree, "", &mut entries)?;
    entries.sort();
    let mut text = String::new();
    for (path, what) in entries {
        writeln!(text, "{what} {path}")?;
    }
    fs::write(tree.join("MANIFEST"), &text).context("write MANIFEST")?;
    Ok(hex::encode(Sha256::digest(&text))[..32].to_owned())
}

fn list(dir: &Path, prefix: &str, entries: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry?;
        let path = format!("{prefix}{}", plain(&entry.file_name().to_string_lossy())?);
        let meta = entry.metadata()?;
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            entries.push((path.clone(), format!("d {mode:o}")));
            list(&entry.path(), &format!("{path}/"), entries)?;
        } else if meta.is_symlink() {
            let target = fs::read_link(entry.path())?;
            entries.push((path, format!("l {}", plain(&target.to_string_lossy())?)));
        } else if meta.is_file() {
            let digest = hex::encode(Sha256::digest(fs::read(entry.path())?));
            entries.push((path, format!("f {mode:o} {digest}")));
        } else {
            bail!("{path} is neither file, directory nor symbolic link");
        }
    }
    Ok(())
}

/// Fields are parted by spaces, so a name must not hold one.
fn plain(name: &str) -> Result<&str> {
    if name.contains(char::is_whitespace) || name.contains(char::REPLACEMENT_CHARACTER) {
        bail!("name {name:?} cannot stand in a manifest");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_lists_all_but_itself_in_path_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::set_permissions(dir.path().join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("a/f"), "").unwrap();
        fs::set_permissions(dir.path().join("a/f"), fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("a/f", dir.path().join("a.l")).unwrap();
        let digest = write(dir.path()).unwrap();
        let empty = hex::encode(Sha256::digest(""));
        let text = fs::read_to_string(dir.path().join("MANIFEST")).unwrap();
        assert_eq!(text, format!("d 755 a\nl a/f a.l\nf 644 {empty} a/f\n"));
        assert_eq!(digest, hex::encode(Sha256::digest(text))[..32]);
    }

    #[test]
    fn a_name_with_a_space_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a b"), "").unwrap();
        assert!(write(dir.path()).unwrap_err().to_string().contains("\"a b\""));
    }
}
