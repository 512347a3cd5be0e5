//! `nft` with the libraries that an image lacks, taken from Debian's packages:
//! what `COPY --from=nft` puts over the base.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cache::{Cache, Key};
use super::debian;
use super::select::{self, Selection};
use crate::command;

const PROGRAM: &str = "usr/sbin/nft";

/// Takes what `base` lacks to run `nft`, where that was not done yet.
///
/// A library that `base` has stays as it is there: two releases of one library,
/// such as libc's and its loader's, must not be mixed.
pub fn ensure(cache: &Cache, base: &Path) -> Result<PathBuf> {
    let key = Key::new("nft 1").text(debian::SUITE).text(&base.to_string_lossy());
    let built = cache.ensure("nftables", &key, |out| build(base, out))?;
    Ok(built.join("root"))
}

fn build(base: &Path, out: &Path) -> Result<()> {
    let (source, root) = (out.join("source"), out.join("root"));
    debian::unpack(&["nftables", "libc-bin"], &source)?;
    fs::create_dir(&root)?;
    Selection::new(&source, &root).executable(PROGRAM)?;
    leave_out(&root, base, Path::new(""))?;
    select::normalise(&root)?;
    fs::remove_dir_all(&source).context("remove the unpacked packages")?;
    prove(base, &root, &out.join("proof"))
}

/// Removes from `root` what `base` has.
fn leave_out(root: &Path, base: &Path, dir: &Path) -> Result<()> {
    for entry in fs::read_dir(root.join(dir)).with_context(|| format!("list {}", dir.display()))? {
        let name = dir.join(entry?.file_name());
        let taken = root.join(&name);
        if taken.symlink_metadata()?.is_dir() {
            leave_out(root, base, &name)?;
            if fs::read_dir(&taken)?.next().is_none() {
                fs::remove_dir(&taken)?;
            }
        } else if base.join(&name).symlink_metadata().is_ok() {
            fs::remove_file(&taken)?;
        }
    }
    Ok(())
}

/// Runs `nft` in what the image will be: a library that is missing, or of
/// another release than its friends, shows here and not on a node.
fn prove(base: &Path, root: &Path, proof: &Path) -> Result<()> {
    for tree in [base, root] {
        fs::create_dir_all(proof)?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(tree.join(".")).arg(proof);
        command::output(&mut copy)?;
    }
    let mut nft = Command::new("chroot");
    let said = command::output(nft.arg(proof).args(["/usr/sbin/nft", "--version"]))?;
    ensure!(said.starts_with("nftables v"), "nft says {said:?} of its version");
    fs::remove_dir_all(proof).context("remove the proof")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_base_has_is_left_out_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (root, base) = (dir.path().join("root"), dir.path().join("base"));
        for path in
            [root.join("usr/lib/x/both"), root.join("usr/lib/only"), base.join("usr/lib/x/both")]
        {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("only", root.join("usr/lib/link")).unwrap();
        leave_out(&root, &base, Path::new("")).unwrap();
        assert!(root.join("usr/lib/only").exists() && root.join("usr/lib/link").exists());
        assert!(!root.join("usr/lib/x").exists());
    }
}
