//! `e2e test`

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use suigen_e2e::artifact::{bundle, cache::Cache, guest_tiny};
use suigen_e2e::{setup, source_root};

/// Where tests outside this package find the hypervisor bundle.
const BUNDLE: &str = "SUIGEN_TEST_BUNDLE";
/// Where they find the guest image `tiny`.
const TINY: &str = "SUIGEN_TEST_TINY";

/// Brings up what tests need and becomes `cargo test`; `arguments` are passed on.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ready()?;
    let cache = Cache::open()?;
    let bundle = only_child(&bundle::ensure(&cache)?)?;
    let tiny = guest_tiny::ensure(&cache)?.join("tiny.qcow2");
    let error = Command::new("cargo")
        .current_dir(source_root())
        .args(["test", "--locked", "--workspace", "--no-fail-fast"])
        .args(arguments)
        .env(BUNDLE, bundle)
        .env(TINY, tiny)
        .exec();
    Err(error).context("run cargo")
}

/// A bundle lies in a directory that its digest names.
fn only_child(dir: &Path) -> Result<std::path::PathBuf> {
    let mut entries = std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let entry = entries.next().context("an empty bundle")??;
    Ok(entry.path())
}
