//! The control plane: etcd, API server, controller manager, scheduler.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Lab;
use super::address::{API_PORT, CONTROL_PLANE, FILES_PORT, SERVICES, api_url};
use super::audit;
use super::kubeconfig;
use super::pki::Pki;
use super::unit::Record;
use crate::artifact::tools::Tools;
use crate::internal;
use crate::progress::{step, wait_for};

/// The units of the control plane besides its network, in starting order.
pub const UNITS: &[&str] =
    &["etcd", "kube-apiserver", "forward", "files", "kube-controller-manager", "kube-scheduler"];

/// What a cluster with nodes and pods needs; the rest would only make noise.
const CONTROLLERS: &[&str] = &[
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "taint-eviction-controller",
    "validatingadmissionpolicy-status-controller",
];

/// Starts what does not run, and waits until the API server answers the host's kubectl.
pub fn start(lab: &Lab, tools: &Tools, pki: &Pki, netns: &Record) -> Result<()> {
    kubeconfigs(lab, pki)?;
    step("start etcd and the API server", || {
        for unit in &UNITS[..4] {
            start_unit(lab, unit, tools, netns)?;
        }
        wait_until_ready(lab, tools)
    })?;
    step("start the controller manager and the scheduler", || {
        UNITS[4..].iter().try_for_each(|unit| start_unit(lab, unit, tools, netns))
    })
}

/// Starts one unit of the control plane.
pub fn start_unit(lab: &Lab, name: &str, tools: &Tools, netns: &Record) -> Result<()> {
    let unit = lab.unit(name);
    let pki = |file: &str| lab.path("pki").join(file).display().to_string();
    let argv = match name {
        "etcd" => etcd(&tools.etcd, &lab.path("etcd")),
        "kube-apiserver" => {
            let mut argv = api_server(&tools.kubernetes, &pki);
            argv.extend(audit::flags(lab)?);
            argv
        }
        "kube-controller-manager" => controller_manager(&tools.kubernetes, &pki),
        "kube-scheduler" => scheduler(&tools.kubernetes, &pki),
        "forward" => {
            let netns = format!("/proc/{}/ns/net", netns.pid);
            let listen = format!("127.0.0.1:{}", lab.state.api_port);
            let to = format!("{CONTROL_PLANE}:{API_PORT}");
            let argv = ["forward", "--listen", &listen, "--to", &to, "--netns", &netns];
            // It enters the lab's namespace itself, after it has begun to listen.
            return unit.start(None, &own_command(&argv)?).map(|_| ());
        }
        "files" => {
            let dir = lab.path("www").display().to_string();
            own_command(&[
                "files",
                "--dir",
                &dir,
                "--listen",
                &format!("{CONTROL_PLANE}:{FILES_PORT}"),
            ])?
        }
        _ => anyhow::bail!("{name} is no part of the control plane ({})", UNITS.join(", ")),
    };
    unit.start(Some(netns), &argv).map(|_| ())
}

fn own_command(args: &[&str]) -> Result<Vec<String>> {
    let program = internal::program()?.display().to_string();
    let words = [program.as_str(), "internal"].into_iter().chain(args.iter().copied());
    Ok(words.map(str::to_owned).collect())
}

fn kubeconfigs(lab: &Lab, pki: &Pki) -> Result<()> {
    let ca = pki.ca()?;
    for (file, user) in [
        ("kube-controller-manager", "system:kube-controller-manager"),
        ("kube-scheduler", "system:kube-scheduler"),
    ] {
        let path = pki.path(&format!("{file}.kubeconfig"));
        if !path.exists() {
            kubeconfig::write(&path, &api_url(), &ca, &pki.client(user, None)?)?;
        }
    }
    let path = lab.kubeconfig();
    if !path.exists() {
        let url = format!("https://127.0.0.1:{}", lab.state.api_port);
        let admin = pki.client("lab-admin", Some("system:masters"))?;
        kubeconfig::write(&path, &url, &ca, &admin)?;
    }
    Ok(())
}

/// Waits for `/readyz` through the forwarder, as any kubectl of the host goes.
pub fn wait_until_ready(lab: &Lab, tools: &Tools) -> Result<()> {
    wait_for("the API server", Duration::from_secs(60), || {
        lab.unit("etcd").expect_running()?;
        lab.unit("kube-apiserver").expect_running()?;
        lab.unit("forward").expect_running()?;
        let mut kubectl = std::process::Command::new(tools.kubectl());
        kubectl.env("KUBECONFIG", lab.kubeconfig()).args(["get", "--raw=/readyz"]);
        Ok(crate::command::output(&mut kubectl).ok())
    })
    .map(|_| ())
}

fn etcd(dir: &Path, data: &Path) -> Vec<String> {
    let client = "http://127.0.0.1:2379";
    let peer = "http://127.0.0.1:2380";
    vec![
        dir.join("etcd").display().to_string(),
        "--name=lab".into(),
        format!("--data-dir={}", data.display()),
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=lab={peer}"),
        "--log-level=warn".into(),
    ]
}

fn api_server(dir: &Path, pki: &impl Fn(&str) -> String) -> Vec<String> {
    let mut argv = vec![dir.join("kube-apiserver").display().to_string()];
    argv.extend(
        [
            "--etcd-servers=http://127.0.0.1:2379",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            "--profiling=false",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--kubelet-preferred-address-types=InternalIP",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ]
        .map(str::to_owned),
    );
    argv.extend([
        format!("--bind-address={CONTROL_PLANE}"),
        format!("--advertise-address={CONTROL_PLANE}"),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={SERVICES}"),
    ]);
    let files = [
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("client-ca-file", "ca.crt"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
        ("kubelet-client-certificate", "kubelet-client.crt"),
        ("kubelet-client-key", "kubelet-client.key"),
        ("kubelet-certificate-authority", "ca.crt"),
        ("requestheader-client-ca-file", "front-ca.crt"),
        ("proxy-client-cert-file", "front.crt"),
        ("proxy-client-key-file", "front.key"),
    ];
    argv.extend(files.map(|(flag, file)| format!("--{flag}={}", pki(file))));
    argv
}

fn controller_manager(dir: &Path, pki: &impl Fn(&str) -> String) -> Vec<String> {
    let name = "kube-controller-manager";
    let mut argv = component(dir, name, pki);
    argv.extend(
        ["--use-service-account-credentials=true", "--node-monitor-grace-period=20s"]
            .map(str::to_owned),
    );
    let files = [
        ("root-ca-file", "ca.crt"),
        ("service-account-private-key-file", "sa.key"),
        ("cluster-signing-cert-file", "ca.crt"),
        ("cluster-signing-key-file", "ca.key"),
        ("client-ca-file", "ca.crt"),
        ("requestheader-client-ca-file", "front-ca.crt"),
    ];
    argv.extend(files.map(|(flag, file)| format!("--{flag}={}", pki(file))));
    argv.push(format!("--controllers={}", CONTROLLERS.join(",")));
    argv
}

fn scheduler(dir: &Path, pki: &impl Fn(&str) -> String) -> Vec<String> {
    component(dir, "kube-scheduler", pki)
}

fn component(dir: &Path, name: &str, pki: &impl Fn(&str) -> String) -> Vec<String> {
    let kubeconfig = pki(&format!("{name}.kubeconfig"));
    let mut argv = vec![dir.join(name).display().to_string()];
    argv.extend(
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
            .map(|flag| format!("--{flag}={kubeconfig}")),
    );
    argv.extend(
        ["--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"]
            .map(str::to_owned),
    );
    argv
}
