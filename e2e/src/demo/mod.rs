//! The demo: the main job, live, on real parts.

mod network;
mod steps;
pub mod trouble;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::artifact::cache::Cache;
use crate::artifact::set::{Platform, SuigenImages};
use crate::cluster::Cluster;
use crate::scenario::console::Console;
use crate::scenario::endpoint::OperatorEndpoint;
use crate::scenario::{self, leftovers};
use crate::{setup, source_root};
use steps::Steps;

const SERVER: scenario::Named<'static> = ("acme", "virtualserver/web-1");
/// Hang guard for a guest to come up under emulation.
const UP: Duration = Duration::from_secs(240);

/// Runs the demo; the lab stays up at its end.
pub fn run() -> Result<()> {
    let mut steps = Steps::begin();
    let cache = Cache::open()?;
    println!("Everything that is built is kept below {}.", cache.root().display());
    let platform =
        steps.run("Build Kubernetes and what its nodes need", || Platform::ensure(&cache))?;
    let images = steps.run("Build Suigen, its images and the guest", || {
        setup::tiny(&cache)?;
        SuigenImages::ensure(&cache)
    })?;
    let cluster =
        steps.run("Start a cluster of three nodes", || setup::cluster_up(&cache, &platform))?;
    steps.run("Install Suigen with Helm; qualify the hypervisors", || {
        setup::install_suigen(&cluster, &images)?;
        show(&cluster, &["get", "hypervisors"])?;
        lacks(&cluster)
    })?;
    steps.run("Apply what can be bought: classes and an image", || {
        setup::catalogue(&cluster, &setup::tiny(&cache)?)?;
        show(&cluster, &["get", "serverclasses,diskclasses,serverimages"])
    })?;
    let guest =
        steps.run("Apply a VirtualServer; wait until its guest runs", || create(&cluster))?;
    let boot = steps.run("Log in on its serial console, with a token", || console(&cluster))?;
    let talk = steps.run("Two servers talk across nodes; a stranger hears nothing", || {
        network::talk(&cluster)
    })?;
    let next = SuigenImages::ensure_next(&cache)?;
    steps.run("Kill all that is ours around the guests", || {
        talk.go_on(&cluster)?;
        survive(&cluster, &guest, &next)?;
        talk.end(&cluster)?;
        check_boot(&cluster, &boot)
    })?;
    steps.run("Delete everything; look for what is left", || {
        talk.delete(&cluster)?;
        delete(&cluster, &guest)
    })?;
    println!("\n{}", steps.table());
    println!(
        "\nThe lab is still up. Look around:\n\n  export KUBECONFIG={}\n  kubectl get suigen -A   (kubectl is {})\n\nStop it: ./e2e/lab down",
        cluster.kubeconfig().display(),
        platform.tools.kubectl().display(),
    );
    Ok(())
}

/// The server of the demo, once it is placed.
struct Guest {
    node: String,
    uids: Vec<String>,
}

/// What tells one boot of a guest from another.
struct Boot {
    id: String,
    uptime: f64,
}

fn create(cluster: &Cluster) -> Result<Guest> {
    for example in ["30-server.yaml", "31-console-user.yaml"] {
        let manifest = fs::read_to_string(source_root().join("examples").join(example))
            .with_context(|| format!("read the example {example}"))?;
        print!("{}", indent(&scenario::apply(cluster, &manifest)?));
    }
    scenario::wait(cluster, SERVER, "condition=Ready", UP)?;
    show(cluster, &["--namespace=acme", "get", "virtualservers,disks"])?;
    let disk = ("acme", "disk/web-1-root");
    Ok(Guest {
        node: scenario::field(cluster, SERVER, "{.status.placement.nodeName}")?,
        uids: vec![
            scenario::field(cluster, SERVER, "{.metadata.uid}")?,
            scenario::field(cluster, disk, "{.metadata.uid}")?,
        ],
    })
}

fn console(cluster: &Cluster) -> Result<Boot> {
    let endpoint = OperatorEndpoint::open(cluster)?;
    let owner = scenario::console_token(cluster, "acme", "owner")?;
    let stranger = scenario::console_token(cluster, "acme", "default")?;
    let server = ("acme", "web-1");
    match Console::open(&endpoint, server, &stranger)? {
        Err(refusal) => {
            println!("   an account without the right: {} {}", refusal.status, refusal.message);
        }
        Ok(_) => bail!("an account without the right got the console"),
    }
    let mut console = match Console::open(&endpoint, server, &owner)? {
        Ok(console) => console,
        Err(refusal) => bail!("the owner got no console: {} {}", refusal.status, refusal.message),
    };
    console.login()?;
    for command in ["uname -sr", "grep -m1 'model name' /proc/cpuinfo", "cat /proc/uptime"] {
        println!("   tiny# {command}\n   {}", console.run(command)?);
    }
    boot(&mut console)
}

fn boot(console: &mut Console) -> Result<Boot> {
    let uptime = console.run("cat /proc/uptime")?;
    let uptime = uptime.split(' ').next().unwrap_or_default();
    Ok(Boot {
        id: console.run("cat /proc/sys/kernel/random/boot_id")?,
        uptime: uptime.parse().with_context(|| format!("read the guest's uptime in {uptime:?}"))?,
    })
}

fn survive(cluster: &Cluster, guest: &Guest, next: &SuigenImages) -> Result<()> {
    let said = trouble::console_length(cluster, &guest.node, &guest.uids[0])?;
    println!("   kill -9 the node-daemon on {}", guest.node);
    trouble::kill_daemon(cluster, &guest.node)?;
    println!("   delete its pod");
    trouble::delete_daemon_pod(cluster, &guest.node)?;
    println!("   roll the DaemonSet to the image {}", next.node_daemon.reference);
    trouble::roll_daemons(cluster, next)?;
    println!("   kill the operator's pods");
    trouble::kill_operator(cluster)?;
    let now = trouble::console_length(cluster, &guest.node, &guest.uids[0])?;
    ensure!(now == said, "the guest wrote {} bytes to its console meanwhile", now - said);
    println!("   the guest's console shows nothing of it");
    Ok(())
}

fn check_boot(cluster: &Cluster, before: &Boot) -> Result<()> {
    scenario::wait(cluster, SERVER, "condition=Ready", UP)?;
    let mut console = Console::log_in(cluster, ("acme", "web-1"), "owner")
        .context("open the console after the trouble")?;
    let after = boot(&mut console)?;
    ensure!(after.id == before.id, "the guest was started anew: boot {} → {}", before.id, after.id);
    println!(
        "   the same boot of the guest, up {:.0} s before and {:.0} s now",
        before.uptime, after.uptime
    );
    ensure!(after.uptime > before.uptime, "the guest's uptime did not go on");
    Ok(())
}

fn delete(cluster: &Cluster, guest: &Guest) -> Result<()> {
    cluster.kubectl(&["--namespace=acme", "delete", SERVER.1, "--timeout=180s"])?;
    scenario::wait(cluster, ("acme", "disk/web-1-root"), "delete", UP)?;
    let left = leftovers::of(cluster, &guest.node, &guest.uids)?;
    ensure!(left.is_empty(), "{} still has: {left:#?}", guest.node);
    let objects = cluster.kubectl(&["--namespace=acme", "get", "vsrv,sdisk", "--output=name"])?;
    ensure!(objects.is_empty(), "the API still has: {objects}");
    println!("   no process, cgroup, file or socket on {}, no object in the API", guest.node);
    Ok(())
}

/// Shows a kubectl command and what it printed, as a person would see it.
fn show(cluster: &Cluster, args: &[&str]) -> Result<()> {
    println!("   $ kubectl {}", args.join(" "));
    print!("{}", indent(&cluster.kubectl(args)?));
    Ok(())
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}

fn lacks(cluster: &Cluster) -> Result<()> {
    for node in cluster.lab()?.nodes()? {
        let hypervisor = format!("hypervisor/{}", node.name());
        let qualified = scenario::condition(cluster, ("", &hypervisor), "Qualified")?;
        println!("   {}: {qualified}", node.name());
    }
    Ok(())
}
