//! What a guest is told at its first boot.

use std::process::Command;
use std::time::Duration;

use suigen_e2e::artifact::cache::Cache;
use suigen_e2e::demo::trouble;
use suigen_e2e::scenario;
use suigen_e2e::scenario::endpoint::OperatorEndpoint;
use suigen_e2e::scenario::manifest::{Network, Server};
use suigen_e2e::setup;

use crate::guest::{Guest, Session};
use crate::harness::{SOON, Scenario};
use crate::net::{self, IN_WEB};

/// Hang guard for Debian to boot under emulation.
const DEBIAN_UP: Duration = Duration::from_secs(600);
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMvZUqDhMmNbT7b3v1uHc0tM1uX3mS2p5Q8uQ7Tn0Zx1 owner@example";

fn secret(scenario: &Scenario, name: &str, user_data: &str) {
    let indented = user_data.replace('\n', "\n    ");
    scenario.apply(&format!(
        "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {}}}
stringData:
  userData: |
    {indented}
",
        scenario.namespace
    ));
}

/// What is on the guest's disk of first-boot data, found by its serial number.
fn first_boot_disk(guest: &mut Session) -> String {
    guest.run("strings -n 3 /dev/$(basename $(dirname $(grep -l cidata /sys/block/vd*/serial)))")
}

#[test]
fn e2e_first_boot_data_is_read_at_each_start_and_a_missing_secret_is_named() {
    let scenario = Scenario::shared("user-data");
    let key = format!("sshAuthorizedKeys: [\"{KEY}\"]");
    let wants = [IN_WEB, "userDataSecretName: web-init", key.as_str()];
    let mut server = Server { spec: &wants, ..scenario.tiny("told") };
    scenario.apply(&(Network::web(&scenario.namespace).yaml() + &server.yaml()));
    scenario.says("virtualserver/told", "Running", &["UserDataSecretNotFound", "web-init"]);
    scenario.says("virtualserver/told", "Ready", &["web-init"]);
    scenario.kubectl(&["create", "secret", "generic", "web-init", "--from-literal=other=x"]);
    scenario.says("virtualserver/told", "Running", &["UserDataKeyMissing", "userData"]);
    secret(&scenario, "web-init", "#cloud-config\nruncmd: [touch /first]");
    let guest = Guest::up(&scenario, "told");
    let disk = first_boot_disk(&mut guest.session());
    for wanted in [guest.uid.as_str(), "told", KEY, "touch /first", "dhcp4", "CIDATA"] {
        assert!(disk.contains(wanted), "{wanted} is missing in {disk}");
    }
    let read_only = guest.shell("cat /sys/block/$(ls /sys/block | grep vd | tail -n 1)/ro");
    assert_eq!(read_only, "1");
    let digest = "{.status.runtime.firstBootDigest}";
    let first = scenario.field(&guest.object(), digest);
    assert_eq!(first.len(), 64, "{first}");

    others_get_nothing(&scenario, &guest);

    secret(&scenario, "web-init", "#cloud-config\nruncmd: [touch /second]");
    let off = [IN_WEB, "userDataSecretName: web-init", key.as_str(), "powerState: PoweredOff"];
    server.spec = &off;
    scenario.apply(&server.yaml());
    scenario.says(&guest.object(), "Running", &["Stopped"]);
    let on = [IN_WEB, "userDataSecretName: web-init", key.as_str(), "powerState: PoweredOn"];
    server.spec = &on;
    scenario.apply(&server.yaml());
    let again = Guest::up(&scenario, "told");
    assert!(first_boot_disk(&mut again.session()).contains("touch /second"));
    assert_ne!(scenario.field(&again.object(), digest), first);
    scenario.delete(&again.object());
    assert_eq!(again.leftovers(&[]), Vec::<String>::new());
}

/// The daemons read no Secret themselves, and each gets only what is placed on its node.
fn others_get_nothing(scenario: &Scenario, guest: &Guest<'_>) {
    let account = "--as=system:serviceaccount:suigen-system:suigen-node-daemon";
    for verb in ["get", "list", "watch"] {
        let mut asks = scenario.cluster.kubectl_command();
        let allowed = asks.args(["auth", "can-i", verb, "secrets", account, "--all-namespaces"]);
        let said = allowed.output().expect("run kubectl").stdout;
        assert_eq!(String::from_utf8_lossy(&said).trim(), "no", "{verb} secrets");
    }
    let token = |node: &str| {
        let pod = trouble::daemon_pod(scenario.cluster, node).expect("find the daemon's pod");
        let pod = format!("--bound-object-name={}", pod.trim_start_matches("pod/"));
        let args = [
            "--namespace=suigen-system",
            "create",
            "token",
            "suigen-node-daemon",
            "--audience=suigen-operator",
            "--bound-object-kind=Pod",
            &pod,
        ];
        scenario.cluster.kubectl(&args).expect("make a token").trim().to_owned()
    };
    let endpoint = OperatorEndpoint::open(scenario.cluster).expect("reach the operator");
    let path = |uid: &str, epoch: u64| {
        let (namespace, name) = (&scenario.namespace, &guest.name);
        format!(
            "/node/v1/namespaces/{namespace}/virtualservers/{name}/first-boot?uid={uid}&epoch={epoch}"
        )
    };
    let other = ["node-a", "node-b", "node-c"].into_iter().find(|node| *node != guest.node);
    let other = token(other.expect("there are three nodes"));
    let own = token(&guest.node);
    let ask = |path: &str, token: &str| endpoint.get(path, token).expect("ask");
    let (status, body) = ask(&path(&guest.uid, 1), &own);
    assert!(status == 200 && body.contains("userData"), "its own node: {status} {body}");
    for (what, path, token) in [
        ("another node", path(&guest.uid, 1), other.as_str()),
        ("an epoch that it does not hold", path(&guest.uid, 2), own.as_str()),
        ("another server", path("00000000-0000-4000-8000-000000000000", 1), own.as_str()),
    ] {
        let (status, body) = ask(&path, token);
        assert!(status == 403 && body.contains("NotPlacedHere"), "{what}: {status} {body}");
    }
    let stranger = scenario::console_token(scenario.cluster, &scenario.namespace, "default");
    let (status, body) = ask(&path(&guest.uid, 1), &stranger.expect("make a token"));
    assert!(
        matches!(status, 401 | 403) && !body.contains("userData\""),
        "a tenant: {status} {body}"
    );
}

#[test]
fn e2e_debian_with_cloud_init_and_sshd_is_what_its_manifest_says() {
    let scenario = Scenario::shared("debian");
    let cache = Cache::open().expect("open the cache");
    setup::offer_debian(scenario.cluster, &cache).expect("offer the image");
    scenario.apply(
        "---
apiVersion: suigen.dev/v1alpha1
kind: ServerClass
metadata: {name: b-2c768m}
spec: {resourceType: BestEffort, virtual: {vcpus: 2, memory: 768Mi, cpuFloorMillis: 100}}
",
    );
    let (private, public) = key_pair();
    let user_data = format!(
        "#cloud-config\nssh_genkeytypes: [ed25519]\nwrite_files:\n- path: /root/key\n  permissions: '0600'\n  encoding: b64\n  content: {private}\nruncmd:\n- touch /root/first-boot"
    );
    secret(&scenario, "debian-init", &user_data);
    scenario.apply(&Network::web(&scenario.namespace).yaml());
    let key = format!("sshAuthorizedKeys: [\"{public}\"]");
    let spec = [IN_WEB, "userDataSecretName: debian-init", key.as_str()];
    let debian = Server {
        class: "b-2c768m",
        image: "debian",
        size: "2Gi",
        spec: &spec,
        ..scenario.tiny("shell")
    };
    scenario.apply_on("node-c", &debian.yaml(), &["shell"]);
    let client = Server { spec: &[IN_WEB], ..scenario.tiny("client") };
    scenario.apply_on("node-b", &client.yaml(), &["client"]);
    let client = Guest::up(&scenario, "client");
    scenario.wait("virtualserver/shell", "Ready", SOON);
    let address = net::address(&scenario, "shell");
    let debian = Guest::placed(&scenario, "shell");
    let mut root = debian.root_session(DEBIAN_UP);
    let done = root.run("timeout 500 cloud-init status --wait | tail -n 1");
    assert!(done.contains("done"), "cloud-init says {done:?}");
    assert_eq!(root.run("hostname"), "shell");
    assert!(root.run("ip -4 -o addr show eth0 | cat").contains(&format!("inet {address}/24")));
    assert_eq!(root.run("cat /sys/class/net/eth0/mtu"), "1450");
    assert_eq!(root.run("ls /root/first-boot"), "/root/first-boot");

    // sshd lets the key in, over the tenant's network.
    let mut client = client.session();
    let greeting = client.run(&format!("sleep 1 | timeout 20 nc {address} 22 | head -n 1"));
    assert!(greeting.starts_with("SSH-2.0-"), "sshd says {greeting:?}");
    let ssh = format!(
        "ssh -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=no debian@{address} id -un 2>&1 | tail -n 1"
    );
    assert_eq!(root.run(&ssh), "debian");
}

/// A key pair made for this run: the private half in base64, and the public line.
fn key_pair() -> (String, String) {
    use base64::Engine;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f"])
        .arg(&file)
        .status()
        .expect("run ssh-keygen");
    assert!(made.success());
    let private = std::fs::read(&file).expect("read the key");
    let public = std::fs::read_to_string(file.with_extension("pub")).expect("read the key");
    let private = base64::engine::general_purpose::STANDARD.encode(private);
    (private, public.trim().to_owned())
}
