//! One node: its directory, its configuration, power on and off.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Lab;
use super::address::{NodeIndex, api_url};
use super::kubeconfig::{self, write_private};
use super::network;
use super::node_config;
use super::node_spec::{LASTING, NodeSpec};
use super::pki::Pki;
use super::unit::{Record, Unit};
use crate::artifact::image::Image;
use crate::artifact::set::Platform;
use crate::command::{output, tail};
use crate::internal;
use crate::progress::wait_for;

/// Programs of the lab first, then Debian's, as the node's services see them.
const PATH: &str = "/opt/lab/kubernetes:/opt/lab/containerd:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A node of a lab.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    lab: &'a Lab,
    index: NodeIndex,
}

impl<'a> Node<'a> {
    /// The node at that place.
    pub fn new(lab: &'a Lab, index: NodeIndex) -> Self {
        Self { lab, index }
    }

    /// The node's name.
    pub fn name(&self) -> String {
        self.index.name()
    }

    /// The node's directory on the host.
    pub fn dir(&self) -> PathBuf {
        self.lab.path("nodes").join(self.name())
    }

    /// Everything that runs on the node.
    pub fn unit(&self) -> Unit {
        self.lab.unit(&self.name())
    }

    /// Its network namespace.
    fn net(&self) -> Unit {
        self.lab.unit(&format!("{}.net", self.name()))
    }

    /// Whether it is powered on.
    pub fn is_on(&self) -> Result<bool> {
        Ok(self.unit().running()?.is_some())
    }

    /// Writes what the node is: directories, configuration, credentials.
    pub fn prepare(&self, platform: &Platform, pki: &Pki) -> Result<()> {
        let dir = self.dir();
        let lasting = LASTING.iter().map(|(name, _)| *name);
        for name in lasting.chain(["upper", "work", "root", "etc/lab", "etc/cni"]) {
            fs::create_dir_all(dir.join(name)).with_context(|| format!("create {name}"))?;
        }
        let spec = NodeSpec::new(&self.lab.state.id, self.index, &dir, platform);
        fs::write(dir.join("node.json"), serde_json::to_vec_pretty(&spec)?)?;
        let etc = dir.join("etc/lab");
        fs::write(etc.join("containerd.toml"), node_config::containerd())?;
        let kubelet = serde_yaml::to_string(&node_config::kubelet(self.index))?;
        fs::write(etc.join("kubelet.yaml"), kubelet)?;
        let proxy = serde_yaml::to_string(&node_config::kube_proxy(self.index))?;
        fs::write(etc.join("kube-proxy.yaml"), proxy)?;
        fs::write(dir.join("etc/cni/10-lab.conflist"), node_config::cni(self.index).to_string())?;
        self.credentials(pki)
    }

    fn credentials(&self, pki: &Pki) -> Result<()> {
        let etc = self.dir().join("etc/lab");
        if etc.join("kubelet-server.key").exists() {
            return Ok(());
        }
        let ca = pki.ca()?;
        let user = format!("system:node:{}", self.name());
        let kubelet = pki.client(&user, Some("system:nodes"))?;
        kubeconfig::write(&etc.join("kubelet.kubeconfig"), &api_url(), &ca, &kubelet)?;
        let proxy = pki.client("system:kube-proxy", None)?;
        kubeconfig::write(&etc.join("kube-proxy.kubeconfig"), &api_url(), &ca, &proxy)?;
        fs::write(etc.join("ca.crt"), &ca)?;
        let server = pki.kubelet_server(self.index)?;
        fs::write(etc.join("kubelet-server.crt"), server.cert)?;
        write_private(&etc.join("kubelet-server.key"), &server.key)
    }

    /// Powers the node on; nothing changes if it is on.
    pub fn power_on(&self) -> Result<()> {
        if self.is_on()? {
            return Ok(());
        }
        self.power_off()?;
        let control_plane = self.lab.control_plane_net()?;
        let net = network::hold(&self.net())?;
        network::plug(&control_plane, self.index, &net, &self.lab.nodes()?)?;
        let program = internal::program()?.display().to_string();
        let spec = self.dir().join("node.json").display().to_string();
        let unshare = [
            "unshare",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--cgroup",
            "--fork",
            "--kill-child=SIGKILL",
        ];
        let init = [program.as_str(), "internal", "node-init", "--spec", &spec];
        let argv: Vec<String> =
            unshare.iter().chain(&init).map(|word| (*word).to_owned()).collect();
        let unit = self.unit();
        let outer = unit.start(Some(&net), &argv)?;
        wait_for(&format!("{}'s process 1", self.name()), Duration::from_secs(20), || {
            unit.expect_running()?;
            self.init()
        })?;
        // A cgroup that holds processes itself cannot pass controllers on.
        let inner = unit.cgroup().child("init").path().join("cgroup.procs");
        fs::write(&inner, outer.pid.to_string())
            .with_context(|| format!("write {}", inner.display()))
    }

    /// Powers the node off at once: no process of it gets to say anything.
    pub fn power_off(&self) -> Result<()> {
        self.unit().stop()?;
        self.net().stop()?;
        let record = self.init_record();
        if record.exists() {
            fs::remove_file(&record)?;
        }
        Ok(())
    }

    /// The node's process 1, if it runs.
    pub fn init(&self) -> Result<Option<Record>> {
        Ok(Record::read(&self.init_record())?.filter(Record::is_alive))
    }

    fn init_record(&self) -> PathBuf {
        self.dir().join("log/init.json")
    }

    /// A program of the node, in all of the node's namespaces.
    pub fn command(&self, program: &str) -> Result<Command> {
        let init = self.init()?.with_context(|| {
            format!("{} is off (e2e lab on {0})\n{}", self.name(), tail(self.unit().log()))
        })?;
        let mut command = Command::new("nsenter");
        command.args(["--target", &init.pid.to_string()]);
        command.args([
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--ipc",
            "--cgroup",
            "--",
            "/usr/bin/env",
            "-i",
        ]);
        command.arg(format!("PATH={PATH}")).args(["HOME=/root", "TERM=linux", program]);
        Ok(command)
    }

    /// Runs a program of the node and returns what it printed.
    pub fn exec(&self, argv: &[&str]) -> Result<String> {
        let (program, args) = argv.split_first().context("no program")?;
        output(self.command(program)?.args(args))
            .with_context(|| format!("run {program} on {}", self.name()))
    }

    /// Imports those images that the node does not have; what it has of their
    /// content is not sent again.
    pub fn import(&self, images: &[&Image]) -> Result<()> {
        let names = self.ctr_list("images")?;
        let content = self.ctr_list("content")?;
        let missing = images.iter().filter(|image| !names.contains(&image.reference));
        for image in missing {
            let mut ctr = self.command("ctr")?;
            ctr.args(["--namespace", "k8s.io", "images", "import"]);
            ctr.args(["--label", "io.cri-containerd.image=managed", "-"]);
            let mut ctr = ctr
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .context("run ctr")?;
            let stream = ctr.stdin.take().context("the pipe to ctr")?;
            let present = |digest: &str| content.contains(&format!("sha256:{digest}"));
            // Where ctr gives up early its own words say why, not the broken pipe.
            let written = image.write(present, stream);
            let output = ctr.wait_with_output().context("wait for ctr")?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                bail!("import {} on {}: {}", image.reference, self.name(), why.trim());
            }
            written.with_context(|| format!("send {} to {}", image.reference, self.name()))?;
        }
        Ok(())
    }

    fn ctr_list(&self, what: &str) -> Result<BTreeSet<String>> {
        let listing = self.exec(&["ctr", "--namespace", "k8s.io", what, "list", "--quiet"])?;
        Ok(listing.lines().map(str::to_owned).collect())
    }
}
