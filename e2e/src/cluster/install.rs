//! Installs Suigen as a user does: two charts, with Helm.

use anyhow::Result;

use super::Cluster;
use crate::artifact::set::SuigenImages;
use crate::lab::load;
use crate::progress::step;
use crate::source_root;

/// Where Suigen itself runs.
pub const NAMESPACE: &str = "suigen-system";

/// Loads the images into the lab's nodes and installs or upgrades both charts.
///
/// `values` are further `--set` arguments of the chart `suigen`.
pub fn install(cluster: &Cluster, images: &SuigenImages, values: &[String]) -> Result<()> {
    if let Ok(lab) = cluster.lab() {
        step("load the images into the nodes", || load::load(lab, &images.all()))?;
    }
    step("install the chart suigen-crds", || helm(cluster, "suigen-crds", &[]))?;
    let mut set = vec![
        format!("operator.image.tag={}", images.operator.tag()),
        format!("nodeDaemon.image.tag={}", images.node_daemon.tag()),
    ];
    set.extend(values.iter().cloned());
    step("install the chart suigen", || helm(cluster, "suigen", &set))
}

fn helm(cluster: &Cluster, chart: &str, set: &[String]) -> Result<()> {
    let path = source_root().join("charts").join(chart).display().to_string();
    let mut args = vec!["upgrade", "--install", chart, &path, "--namespace", NAMESPACE];
    args.extend(["--create-namespace", "--wait", "--timeout=3m"]);
    args.extend(set.iter().flat_map(|value| ["--set", value.as_str()]));
    cluster.helm(&args).map(|_| ())
}
