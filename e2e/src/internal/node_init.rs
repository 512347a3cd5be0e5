//! Process 1 of a node: makes the node's world, starts its services, restarts
//! them when they end and reaps what is orphaned, as an init system does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{WaitOptions, wait};

use super::mounts;
use crate::command::{append_to, output};
use crate::lab::node_spec::NodeSpec;
use crate::lab::unit::Record;
use crate::progress::wait_for;

const PATH: &str = "/opt/lab/kubernetes:/opt/lab/containerd:/opt/lab/runc-lab:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// Becomes the node; returns only on failure.
pub fn run(spec_path: &Path) -> Result<()> {
    let spec = NodeSpec::read(spec_path)?;
    // The host's /proc still stands here, so this is the host's number for this process.
    let pid = fs::read_link("/proc/self")?.to_string_lossy().parse().context("own process id")?;
    let record = Record::of(pid)?;
    mounts::enter(&spec)?;
    settle(&spec)?;
    record_outside(&spec, &record)?;

    let mut services = Services::default();
    services.start(CONTAINERD)?;
    prepare_containerd().context("prepare containerd")?;
    services.start(KUBELET)?;
    services.start(KUBE_PROXY)?;
    services.keep()
}

/// The node's directory is not in the node's tree; /etc/lab is read only. The
/// log directory is shared with the host, so the record goes there.
fn record_outside(spec: &NodeSpec, record: &Record) -> Result<()> {
    let name = spec.init_record();
    let name = name.file_name().context("a record's name")?;
    record.write(&Path::new("/var/log").join(name))
}

fn settle(spec: &NodeSpec) -> Result<()> {
    fs::create_dir_all("/sys/fs/cgroup/init")?;
    fs::write("/sys/fs/cgroup/init/cgroup.procs", "0").context("enter the cgroup init")?;
    rustix::system::sethostname(spec.name.as_bytes()).context("set the host name")?;
    fs::write("/etc/hostname", format!("{}\n", spec.name))?;
    fs::write("/etc/hosts", format!("127.0.0.1 localhost\n{} {}\n", spec.address, spec.name))?;
    fs::write("/etc/machine-id", format!("{}\n", spec.machine_id))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("let the node route for its pods")
}

/// A service: a name, its program and arguments.
#[derive(Debug, Clone, Copy)]
struct Service {
    name: &'static str,
    argv: &'static [&'static str],
}

const CONTAINERD: Service =
    Service { name: "containerd", argv: &["containerd", "--config", "/etc/lab/containerd.toml"] };
const KUBELET: Service = Service {
    name: "kubelet",
    argv: &[
        "kubelet",
        "--config=/etc/lab/kubelet.yaml",
        "--kubeconfig=/etc/lab/kubelet.kubeconfig",
        "--root-dir=/var/lib/kubelet",
    ],
};
const KUBE_PROXY: Service =
    Service { name: "kube-proxy", argv: &["kube-proxy", "--config=/etc/lab/kube-proxy.yaml"] };

#[derive(Debug, Default)]
struct Services {
    running: BTreeMap<i32, Service>,
}

impl Services {
    /// Each service has a cgroup of its own, so that one can be frozen alone.
    fn start(&mut self, service: Service) -> Result<()> {
        let cgroup = format!("/sys/fs/cgroup/services/{}", service.name);
        fs::create_dir_all(&cgroup)?;
        let log = append_to(&Path::new("/var/log").join(format!("{}.log", service.name)))?;
        let child = Command::new("/bin/sh")
            .args(["-c", "echo 0 > \"$0/cgroup.procs\" && exec \"$@\"", &cgroup])
            .args(service.argv)
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", service.name))?;
        self.running.insert(i32::try_from(child.id()).context("process id")?, service);
        Ok(())
    }

    fn keep(mut self) -> Result<()> {
        loop {
            let ended = wait(WaitOptions::empty());
            let Ok(Some((pid, status))) = ended else {
                thread::sleep(Duration::from_secs(1));
                continue;
            };
            if let Some(service) = self.running.remove(&pid.as_raw_nonzero().get()) {
                eprintln!("{} {} ended: {status:?}", jiff::Timestamp::now(), service.name);
                thread::sleep(Duration::from_secs(1));
                self.start(service)?;
            }
        }
    }
}

fn prepare_containerd() -> Result<()> {
    wait_for("containerd's socket", Duration::from_secs(30), || {
        Ok(Path::new(CONTAINERD_SOCKET).exists().then_some(()))
    })?;
    wait_for("containerd's answer", Duration::from_secs(30), || {
        Ok(ctr(&["version"]).is_ok().then_some(()))
    })?;
    ctr(&["images", "import", "--label", "io.cri-containerd.image=managed", "/opt/lab/pause.tar"])
}

fn ctr(args: &[&str]) -> Result<()> {
    let mut command = Command::new("/opt/lab/containerd/ctr");
    command.args(["--namespace", "k8s.io"]).args(args).env("PATH", PATH);
    output(&mut command).map(|_| ())
}
