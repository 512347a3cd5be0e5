//! The lab: a real Kubernetes cluster with real hypervisors on one machine,
//! and what the demo, the scenarios, the fault runs and the benchmarks share.

pub mod artifact;
pub mod bench;
pub mod cluster;
pub mod command;
pub mod demo;
pub mod internal;
pub mod lab;
pub mod progress;
pub mod scenario;
pub mod setup;

use std::path::{Path, PathBuf};

/// The directory of the workspace that this binary was built from.
pub fn source_root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where logs of builds go: below the cache, so that they survive `lab down`.
pub fn build_log(cache: &artifact::cache::Cache, name: &str) -> PathBuf {
    cache.root().join("logs").join(format!("{name}.log"))
}
