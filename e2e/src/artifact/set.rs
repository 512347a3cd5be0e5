//! Sets of artifacts: what a cluster consists of, and what is installed in it.

use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::cache::Cache;
use super::image::{self, Contexts, Image};
use super::tools::Tools;
use super::{bundle, guest_tiny, host_packages, nft, rootfs, workspace};
use crate::{build_log, source_root};

/// What a cluster needs before anything of Suigen's is in it.
#[derive(Debug, Clone)]
pub struct Platform {
    /// The programs of Kubernetes and its runtime.
    pub tools: Tools,
    /// A node's root file system.
    pub node_rootfs: PathBuf,
    /// The archive of the image that every pod needs.
    pub pause: PathBuf,
}

impl Platform {
    /// Builds what is missing, after installing the Debian packages for it.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        host_packages::ensure(&build_log(cache, "apt"))?;
        let (tools, node_rootfs) = both(|| Tools::ensure(cache), || rootfs::node(cache))?;
        let pause = image::pause(cache, &tools.kubernetes.join("pause"))?;
        Ok(Self { tools, node_rootfs, pause })
    }
}

/// The images that the chart installs.
#[derive(Debug, Clone)]
pub struct SuigenImages {
    /// `suigen.dev/operator`.
    pub operator: Image,
    /// `suigen.dev/node-daemon`.
    pub node_daemon: Image,
}

impl SuigenImages {
    /// Builds the programs, the hypervisor bundle and the images of them.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        Self::build(cache, &[])
    }

    /// The same programs in images of another name: what an upgrade rolls to.
    pub fn ensure_next(cache: &Cache) -> Result<Self> {
        Self::build(cache, &[("dev.suigen.lab.release", "next")])
    }

    fn build(cache: &Cache, labels: &[(&str, &str)]) -> Result<Self> {
        host_packages::ensure(&build_log(cache, "apt"))?;
        let (programs, (bundle, base)) = both(
            || workspace::ensure(cache),
            || Ok((bundle::ensure(cache)?, rootfs::image_base(cache)?)),
        )?;
        let nft = nft::ensure(cache, &base)?;
        let named = [("build", programs), ("bundle", bundle), ("nft", nft)];
        let contexts = Contexts { base, named: named.into() };
        let recipes = source_root().join("charts/images");
        let build = |name: &str| image::build(cache, &recipes, name, &contexts, labels);
        Ok(Self { operator: build("operator")?, node_daemon: build("node-daemon")? })
    }

    /// Both, to go through.
    pub fn all(&self) -> [&Image; 2] {
        [&self.operator, &self.node_daemon]
    }
}

/// Everything that the demo and the tests need, all of it built at once: from
/// nothing that is minutes faster than one after the other.
pub fn everything(cache: &Cache) -> Result<(Platform, SuigenImages)> {
    both(
        || Platform::ensure(cache),
        || {
            guest_tiny::ensure(cache)?;
            SuigenImages::ensure(cache)
        },
    )
}

/// Runs two builds at once: one is mostly network and disk, the other processor.
fn both<A: Send, B>(
    a: impl FnOnce() -> Result<A> + Send,
    b: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    thread::scope(|scope| {
        let a = scope.spawn(a);
        let b = b();
        let a = a.join().map_err(|_| anyhow!("a build panicked")).context("build")?;
        Ok((a?, b?))
    })
}
