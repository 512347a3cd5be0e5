//! What a guest must not notice: everything of ours dying around it.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::artifact::set::SuigenImages;
use crate::cluster::{Cluster, install};
use crate::lab::load;
use crate::scenario::{self, on_node};

const NAMESPACE: &str = "--namespace=suigen-system";
const ROLLOUT: &str = "--timeout=180s";

/// Kills the node-daemon of a node with SIGKILL and waits until the kubelet
/// has started it again and it has adopted.
pub fn kill_daemon(cluster: &Cluster, node: &str) -> Result<()> {
    let pod = daemon_pod(cluster, node)?;
    let restarts = "{.status.containerStatuses[0].restartCount}";
    let before: u32 = scenario::field(cluster, ("suigen-system", &pod), restarts)?.parse()?;
    on_node(cluster, node, &["sh", "-c", "kill -9 $(pgrep -x node-daemon)"])?;
    let object = ("suigen-system", pod.as_str());
    let limit = Duration::from_secs(120);
    scenario::wait_field(cluster, object, restarts, limit, |now| {
        now.parse().is_ok_and(|now: u32| now > before)
    })?;
    scenario::wait(cluster, object, "condition=Ready", limit)
}

/// Deletes the node-daemon's pod and waits for the next one.
pub fn delete_daemon_pod(cluster: &Cluster, node: &str) -> Result<()> {
    let pod = daemon_pod(cluster, node)?;
    cluster.kubectl(&[NAMESPACE, "delete", &pod, "--timeout=120s"])?;
    rollout(cluster, "daemonset/suigen-node-daemon")
}

/// Rolls the DaemonSet to another image and waits until every node has it.
pub fn roll_daemons(cluster: &Cluster, next: &SuigenImages) -> Result<()> {
    load::load(cluster.lab()?, &next.all())?;
    let tag = format!("nodeDaemon.image.tag={}", next.node_daemon.tag());
    let chart = crate::source_root().join("charts/suigen").display().to_string();
    cluster.helm(&[
        "upgrade",
        "suigen",
        &chart,
        &format!("--namespace={}", install::NAMESPACE),
        "--reuse-values",
        "--set",
        &tag,
        "--wait",
        "--timeout=3m",
    ])?;
    rollout(cluster, "daemonset/suigen-node-daemon")
}

/// Kills every replica of the operator without notice and waits for new ones.
pub fn kill_operator(cluster: &Cluster) -> Result<()> {
    cluster.kubectl(&[
        NAMESPACE,
        "delete",
        "pods",
        "--selector=app.kubernetes.io/component=operator",
        "--grace-period=0",
        "--force",
    ])?;
    rollout(cluster, "deployment/suigen-operator")
}

fn rollout(cluster: &Cluster, what: &str) -> Result<()> {
    cluster.kubectl(&[NAMESPACE, "rollout", "status", what, ROLLOUT]).map(|_| ())
}

/// The node-daemon's pod on a node, as `pod/NAME`.
pub fn daemon_pod(cluster: &Cluster, node: &str) -> Result<String> {
    let name = cluster.kubectl(&[
        NAMESPACE,
        "get",
        "pods",
        "--selector=app.kubernetes.io/component=node-daemon",
        &format!("--field-selector=spec.nodeName={node}"),
        "--output=name",
    ])?;
    match name.lines().collect::<Vec<_>>()[..] {
        [one] => Ok(one.to_owned()),
        _ => bail!("node {node} should have one pod of the node-daemon, not {name:?}"),
    }
}

/// How much the guest has written to its serial console so far, in bytes.
pub fn console_length(cluster: &Cluster, node: &str, server_uid: &str) -> Result<u64> {
    let log = format!("/var/lib/suigen/servers/{server_uid}/serial.log");
    let size = on_node(cluster, node, &["stat", "--format=%s", &log])?;
    size.trim().parse().with_context(|| format!("read the size of {log} in {size:?}"))
}
