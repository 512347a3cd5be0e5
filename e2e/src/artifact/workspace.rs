//! The project's own programs, built by cargo and stripped for images.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::{Cache, Key};
use crate::command::{output, run_logged};
use crate::progress::step;
use crate::{build_log, source_root};

/// The programs that images are made of.
const PROGRAMS: &[&str] = &["operator", "node-daemon"];

/// How many builds of the programs stay in the cache.
const KEPT: usize = 4;

/// Builds the programs and returns the directory with their stripped copies.
///
/// Cargo always runs (it knows best what changed); the copies are kept by
/// content, so that an unchanged program keeps its image and its tag.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    step("build operator and node-daemon with cargo", || {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(source_root()).args(["build", "--locked", "--quiet"]);
        cargo.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
        run_logged(&mut cargo, &build_log(cache, "cargo"))
    })?;
    let built = target_dir()?.join("debug");
    let mut key = Key::new("programs 1");
    for program in PROGRAMS {
        key = key.file(&built.join(program))?;
    }
    let programs = cache.ensure("programs", &key, |out| {
        for program in PROGRAMS {
            let mut strip = Command::new("strip");
            strip.arg("-o").arg(out.join(program)).arg(built.join(program));
            output(&mut strip)?;
        }
        Ok(())
    })?;
    cache.prune("programs", KEPT)?;
    Ok(programs)
}

/// Where cargo puts what it builds.
pub fn target_dir() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(source_root());
    cargo.args(["metadata", "--no-deps", "--format-version=1", "--offline"]);
    let metadata: serde_json::Value = serde_json::from_str(&output(&mut cargo)?)?;
    let dir = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    Ok(PathBuf::from(dir))
}
