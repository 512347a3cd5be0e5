//! From nothing to a lab with Suigen and its catalogue in it; what is there
//! already is left as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::artifact::cache::Cache;
use crate::artifact::set::{Platform, SuigenImages};
use crate::artifact::{guest_debian, guest_tiny};
use crate::cluster::{Cluster, install};
use crate::lab::{self, Lab};
use crate::progress::step;
use crate::scenario::manifest::Image;
use crate::{scenario, source_root};

/// Where the lab's file server is, as its nodes see it.
pub const FILE_SERVER: &str = "http://10.77.0.1:8080";

/// Values of the chart that the lab needs: its KVM runs no Linux, so guests
/// are emulated, and three nodes share the memory and the processors of one machine.
pub const LAB_VALUES: &[&str] = &[
    "nodeDaemon.initial.softwareEmulation=Allow",
    "nodeDaemon.initial.reservedMemory=2Gi",
    "nodeDaemon.initial.reservedCpuMillis=500",
];

/// Everything up: the lab, Suigen, the catalogue of classes and images.
pub fn ready() -> Result<Cluster> {
    let cache = Cache::open()?;
    let platform = Platform::ensure(&cache)?;
    let cluster = cluster_up(&cache, &platform)?;
    install_suigen(&cluster, &SuigenImages::ensure(&cache)?)?;
    catalogue(&cluster, &tiny(&cache)?)?;
    Ok(cluster)
}

/// Starts the lab.
pub fn cluster_up(cache: &Cache, platform: &Platform) -> Result<Cluster> {
    let lab = lab::up::up(&Lab::default_dir(cache.root()), None, platform)?;
    Ok(Cluster::of_lab(&lab, &platform.tools))
}

/// Installs Suigen with the lab's values and waits until every hypervisor is ready.
pub fn install_suigen(cluster: &Cluster, images: &SuigenImages) -> Result<()> {
    let values: Vec<String> = LAB_VALUES.iter().map(|value| (*value).to_owned()).collect();
    install::install(cluster, images, &values)?;
    step("wait until every hypervisor is ready", || hypervisors_ready(cluster))
}

fn hypervisors_ready(cluster: &Cluster) -> Result<()> {
    for node in cluster.lab()?.nodes()? {
        let name = format!("hypervisor/{}", node.name());
        let limit = Duration::from_secs(120);
        scenario::wait_field(cluster, ("", &name), "{.metadata.name}", limit, |n| !n.is_empty())?;
        scenario::wait(cluster, ("", &name), "condition=Ready", limit)?;
    }
    Ok(())
}

/// The guest image `tiny`: its file and its digest.
#[derive(Debug, Clone)]
pub struct Tiny {
    /// The qcow2 file.
    pub file: PathBuf,
    /// SHA-256 of it.
    pub sha256: String,
}

/// Builds the guest image `tiny` where it is missing.
pub fn tiny(cache: &Cache) -> Result<Tiny> {
    let dir = guest_tiny::ensure(cache)?;
    let sha256 = fs::read_to_string(dir.join("tiny.qcow2.sha256")).context("read the digest")?;
    Ok(Tiny { file: dir.join("tiny.qcow2"), sha256: sha256.trim().to_owned() })
}

/// The guest image `debian`, built where it is missing, offered under that name.
pub fn offer_debian(cluster: &Cluster, cache: &Cache) -> Result<()> {
    let dir = guest_debian::ensure(cache)?;
    let sha256 = fs::read_to_string(dir.join("debian.qcow2.sha256")).context("read the digest")?;
    let url = publish(cluster, &dir.join("debian.qcow2"), "debian.qcow2")?;
    let sha256 = sha256.trim();
    let image = Image { name: "debian", url: &url, sha256, firmware: "Bios", minimum_disk: "2Gi" };
    replace_image(cluster, &image)
}

/// Puts a file where the lab's nodes can fetch it and returns its URL.
pub fn publish(cluster: &Cluster, file: &Path, name: &str) -> Result<String> {
    let target = cluster.lab()?.path("www").join(name);
    let arriving = target.with_extension("arriving");
    fs::copy(file, &arriving).with_context(|| format!("copy {}", file.display()))?;
    fs::rename(&arriving, &target).with_context(|| format!("publish {}", target.display()))?;
    Ok(format!("{FILE_SERVER}/{name}"))
}

/// Applies the example classes, and the image `tiny` for BIOS and for UEFI.
pub fn catalogue(cluster: &Cluster, tiny: &Tiny) -> Result<()> {
    let url = publish(cluster, &tiny.file, "tiny.qcow2")?;
    let classes = fs::read_to_string(source_root().join("examples/10-classes.yaml"))
        .context("read the example classes")?;
    scenario::apply(cluster, &classes)?;
    for (name, firmware) in [("tiny", "Bios"), ("tiny-uefi", "Uefi")] {
        let image = Image { name, url: &url, sha256: &tiny.sha256, firmware, minimum_disk: "64Mi" };
        replace_image(cluster, &image)?;
    }
    Ok(())
}

/// Applies a ServerImage; one of that name with another content is replaced,
/// since its spec cannot be changed.
pub fn replace_image(cluster: &Cluster, image: &Image<'_>) -> Result<()> {
    let name = format!("serverimage/{}", image.name);
    let there = scenario::field(cluster, ("", &name), "{.spec.sha256}")?;
    if !there.is_empty() && there != image.sha256 {
        cluster.kubectl(&["delete", &name])?;
    }
    scenario::apply(cluster, &image.yaml()).map(|_| ())
}
