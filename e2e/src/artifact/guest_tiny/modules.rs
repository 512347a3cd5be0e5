//! Picks kernel modules with what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command;

/// `modules.dep` of one kernel: what each module needs loaded before it.
#[derive(Debug)]
struct Dependencies(BTreeMap<String, Vec<String>>);

impl Dependencies {
    fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let (path, needs) = line.split_once(':')?;
            Some((path.to_owned(), needs.split_whitespace().map(str::to_owned).collect()))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    /// Paths of the named modules and all they need.
    fn closure(&self, names: &[&str]) -> Result<BTreeSet<&str>> {
        let mut chosen = BTreeSet::new();
        for name in names {
            let (path, needs) = self
                .0
                .iter()
                .find(|(path, _)| module_name(path) == name.replace('-', "_"))
                .with_context(|| format!("the kernel has no module {name}"))?;
            chosen.insert(path.as_str());
            chosen.extend(needs.iter().map(String::as_str));
        }
        Ok(chosen)
    }
}

/// The name the kernel knows a module by.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// Copies the named modules of the only kernel below `source` to `target`,
/// unpacked (the guest emulates slowly what the host does in no time), with a
/// `modules.dep` of just them.
pub(super) fn copy(source: &Path, target: &Path, names: &[&str]) -> Result<()> {
    let release = only_entry(&source.join("usr/lib/modules"))?;
    std::os::unix::fs::symlink("usr/lib", source.join("lib"))?;
    command::output(Command::new("depmod").arg("-b").arg(source).arg(&release))?;
    let from = source.join("lib/modules").join(&release);
    let to = target.join("lib/modules").join(&release);
    let dependencies = Dependencies::parse(&fs::read_to_string(from.join("modules.dep"))?);
    let mut listing = String::new();
    for path in dependencies.closure(names)? {
        unpack(&from.join(path), &to.join(plain(path)))?;
        let needs = dependencies.0.get(path).into_iter().flatten();
        let needs: String = needs.map(|need| format!(" {}", plain(need))).collect();
        listing.push_str(&format!("{}:{needs}\n", plain(path)));
    }
    fs::write(to.join("modules.dep"), listing).context("write modules.dep")
}

/// The path without the compression's suffix.
fn plain(path: &str) -> &str {
    path.strip_suffix(".xz").unwrap_or(path)
}

fn unpack(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a module lies in a directory")?;
    fs::create_dir_all(parent)?;
    let status = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(from)
        .stdout(File::create(to)?)
        .status()
        .context("run xz")?;
    ensure!(status.success(), "xz cannot unpack {}", from.display());
    Ok(())
}

fn only_entry(dir: &Path) -> Result<String> {
    let names: Vec<_> = fs::read_dir(dir)
        .with_context(|| format!("list {}", dir.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    ensure!(names.len() == 1, "{} should hold one kernel: {names:?}", dir.display());
    Ok(names.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "kernel/a-b.ko.xz: kernel/c.ko.xz\nkernel/c.ko.xz:\nkernel/d.ko.xz:\n";

    #[test]
    fn a_module_brings_what_it_needs_and_nothing_else() {
        let dependencies = Dependencies::parse(LISTING);
        let chosen = dependencies.closure(&["a_b"]).unwrap();
        assert_eq!(Vec::from_iter(chosen), ["kernel/a-b.ko.xz", "kernel/c.ko.xz"]);
    }

    #[test]
    fn a_module_that_does_not_exist_is_named() {
        let error = Dependencies::parse(LISTING).closure(&["virtio_nose"]).unwrap_err();
        assert_eq!(error.to_string(), "the kernel has no module virtio_nose");
    }
}
