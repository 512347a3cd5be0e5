//! Kubernetes, its runtime and Helm, built from pinned Go modules.
//!
//! One module a group (`e2e/tools/<group>`): in one module for all, the
//! dependencies of one project would move those of another.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::{Cache, Key};
use crate::command::{output, run_logged};
use crate::progress::step;
use crate::{build_log, source_root};

const CONTAINERD: &str = "github.com/containerd/containerd/v2";
const CNI: &str = "github.com/containernetworking/plugins/plugins";
const KUBERNETES_VERSION: &str = "1.37.2";

/// The directories of the built programs, one a group.
#[derive(Debug, Clone)]
pub struct Tools {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver, -controller-manager, -scheduler, kubelet, kube-proxy, kubectl, pause.
    pub kubernetes: PathBuf,
    /// containerd, ctr, containerd-shim-runc-v2.
    pub containerd: PathBuf,
    /// runc.
    pub runc: PathBuf,
    /// runc-lab, which starts runc on a machine with few cgroup controllers.
    pub runc_lab: PathBuf,
    /// The plugins that give pods their network.
    pub cni: PathBuf,
    /// helm.
    pub helm: PathBuf,
}

impl Tools {
    /// Builds what is missing, one group after the other: each uses every core.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        Ok(Self {
            etcd: Group::etcd().ensure(cache)?,
            runc: Group::runc().ensure(cache)?,
            runc_lab: Group::runc_lab().ensure(cache)?,
            cni: Group::cni().ensure(cache)?,
            containerd: Group::containerd().ensure(cache)?,
            kubernetes: Group::kubernetes().ensure(cache)?,
            helm: Group::helm().ensure(cache)?,
        })
    }

    /// The path of kubectl.
    pub fn kubectl(&self) -> PathBuf {
        self.kubernetes.join("kubectl")
    }

    /// The path of helm.
    pub fn helm(&self) -> PathBuf {
        self.helm.join("helm")
    }
}

/// A module and what is built from it.
struct Group {
    name: &'static str,
    packages: Vec<String>,
    ldflags: String,
    extra: &'static [&'static str],
    cgo: bool,
    /// After the Go build: the module's C program, if any.
    finish: fn(&Path, &Path) -> Result<()>,
}

impl Group {
    fn of(name: &'static str, packages: &[String]) -> Self {
        Self {
            name,
            packages: packages.to_vec(),
            ldflags: "-s -w".to_owned(),
            extra: &[],
            cgo: false,
            finish: |_, _| Ok(()),
        }
    }

    /// etcd's main package is its module's root: `go build` would name the program `server`.
    fn etcd() -> Self {
        let finish = |_: &Path, out: &Path| {
            std::fs::rename(out.join("server"), out.join("etcd")).context("name etcd")
        };
        Self { finish, ..Self::of("etcd", &["go.etcd.io/etcd/server/v3".to_owned()]) }
    }

    fn kubernetes() -> Self {
        let programs = [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        ];
        let (major, rest) = KUBERNETES_VERSION.split_once('.').unwrap_or((KUBERNETES_VERSION, ""));
        let minor = rest.split('.').next().unwrap_or_default();
        let base = "k8s.io/component-base/version";
        let ldflags = format!(
            "-s -w -X {base}.gitVersion=v{KUBERNETES_VERSION} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
             -X k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES_VERSION}"
        );
        let packages = programs.map(|program| format!("k8s.io/kubernetes/cmd/{program}"));
        Self { ldflags, finish: build_pause, ..Self::of("kubernetes", &packages) }
    }

    fn containerd() -> Self {
        let packages = ["containerd", "ctr", "containerd-shim-runc-v2"]
            .map(|program| format!("{CONTAINERD}/cmd/{program}"));
        let ldflags = format!("-s -w -X {CONTAINERD}/version.Version=v2.4.2");
        Self { ldflags, ..Self::of("containerd", &packages) }
    }

    /// Without seccomp runc refuses every pod that asks for the runtime's default profile.
    fn runc() -> Self {
        Self {
            ldflags: "-s -w -linkmode external -extldflags -static".to_owned(),
            extra: &["-tags", "seccomp netgo osusergo"],
            cgo: true,
            ..Self::of("runc", &["github.com/opencontainers/runc".to_owned()])
        }
    }

    fn runc_lab() -> Self {
        Self::of("runc-lab", &[".".to_owned()])
    }

    fn cni() -> Self {
        let plugins =
            ["main/bridge", "main/ptp", "main/loopback", "ipam/host-local", "meta/portmap"];
        Self::of("cni", &plugins.map(|plugin| format!("{CNI}/{plugin}")))
    }

    fn helm() -> Self {
        let ldflags = "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1".to_owned();
        Self { ldflags, ..Self::of("helm", &["helm.sh/helm/v4/cmd/helm".to_owned()]) }
    }

    fn ensure(&self, cache: &Cache) -> Result<PathBuf> {
        let module = source_root().join("e2e/tools").join(self.name);
        let key = Key::new("go-tools 1")
            .tree(&module)?
            .text(&self.packages.join(" "))
            .text(&self.ldflags)
            .text(&self.extra.join(" "));
        cache.ensure(self.name, &key, |out| {
            step(&format!("build {} from its Go module", self.name), || {
                self.go_build(&module, out, &build_log(cache, self.name))?;
                (self.finish)(&module, out)
            })
        })
    }

    fn go_build(&self, module: &Path, out: &Path, log: &Path) -> Result<()> {
        let mut out_dir = out.as_os_str().to_owned();
        out_dir.push("/");
        let mut go = Command::new("go");
        go.current_dir(module)
            .env("CGO_ENABLED", if self.cgo { "1" } else { "0" })
            .args(["build", "-trimpath", "-ldflags", &self.ldflags])
            .args(self.extra)
            .arg("-o")
            .arg(out_dir)
            .args(&self.packages);
        run_logged(&mut go, log)
    }
}

/// The program that holds a pod's namespaces: C, in the source of Kubernetes.
fn build_pause(module: &Path, out: &Path) -> Result<()> {
    let mut list = Command::new("go");
    list.current_dir(module).args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]);
    let source = PathBuf::from(output(&mut list)?.trim()).join("build/pause/linux/pause.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-Os", "-static", "-DVERSION=lab", "-o"]).arg(out.join("pause")).arg(source);
    output(&mut gcc).map(|_| ())
}
