//! Two servers of a tenant that talk across nodes, and a stranger who has the
//! same addresses and hears nothing of it.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_yaml::Value;

use super::{UP, indent, show};
use crate::cluster::Cluster;
use crate::scenario::console::Console;
use crate::scenario::pings::{self, Pings};
use crate::scenario::{self, pinned::Pinned};
use crate::source_root;

/// The tenant of the demo, and the one that must not notice it.
const TENANT: &str = "acme";
const STRANGER: &str = "globex";
/// Where the tenant's servers are put: a network is told apart from a cable by
/// two nodes.
const NODES: [&str; 2] = ["node-b", "node-c"];

/// Servers that talk.
#[derive(Debug)]
pub struct Talk {
    servers: Vec<String>,
    /// The address of the second.
    peer: String,
}

/// Applies the example for a tenant, on two nodes, and for a stranger.
pub fn talk(cluster: &Cluster) -> Result<Talk> {
    let ours = Manifests::read()?;
    let theirs = ours.of(STRANGER)?;
    let (servers, rest) = ours.split()?;
    print!("{}", indent(&scenario::apply(cluster, &rest)?));
    let names = servers.iter().map(name).collect::<Result<Vec<_>>>()?;
    for (server, node) in servers.iter().zip(NODES) {
        put(cluster, TENANT, server, node)?;
    }
    let user = example("31-console-user.yaml")?.replace(TENANT, STRANGER);
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {STRANGER}}}}}");
    let (their_servers, their_rest) = theirs.split()?;
    scenario::apply(cluster, &format!("{namespace}\n---\n{user}\n---\n{their_rest}"))?;
    let stranger = their_servers.first().context("the example has a server")?;
    put(cluster, STRANGER, stranger, NODES[0])?;
    for (namespace, server) in
        names.iter().map(|name| (TENANT, name)).chain([(STRANGER, &names[0])])
    {
        let server = format!("virtualserver/{server}");
        scenario::wait(cluster, (namespace, &server), "condition=Ready", UP)?;
    }
    let peer = address(cluster, TENANT, &names[1])?;
    first_words(cluster, &names, &peer)?;
    hears_nothing(cluster, &names[0], &peer)?;
    show(cluster, &["--namespace=acme", "get", "tenantnetworks,networkports,virtualservers"])?;
    Ok(Talk { servers: names, peer })
}

fn first_words(cluster: &Cluster, names: &[String], peer: &str) -> Result<()> {
    let mut shell = Console::log_in(cluster, (TENANT, &names[0]), "owner")?;
    wait_for_address(&mut shell, &address(cluster, TENANT, &names[0])?)?;
    let mut other = Console::log_in(cluster, (TENANT, &names[1]), "owner")?;
    wait_for_address(&mut other, peer)?;
    other.run("echo \"hello from $(hostname)\" >/tmp/hello; httpd -p 80 -h /tmp")?;
    // The first packet waits for ARP.
    shell.run(&format!("ping -c 1 {peer}"))?;
    for command in
        ["hostname", &format!("ping -q -c 3 {peer}"), &format!("wget -q -O - http://{peer}/hello")]
    {
        print!("{}", indent(&format!("tiny# {command}\n{}", shell.run(command)?)));
    }
    Ok(())
}

fn wait_for_address(shell: &mut Console, address: &str) -> Result<()> {
    let wait = "n=0; until ip -4 addr show eth0 | grep inet || [ $n -gt 40 ]; do n=$((n+1)); sleep 0.5; done";
    let has = shell.run(wait)?;
    ensure!(has.contains(&format!("inet {address}/")), "DHCP should give {address}: {has:?}");
    Ok(())
}

fn hears_nothing(cluster: &Cluster, stranger: &str, peer: &str) -> Result<()> {
    let own = address(cluster, STRANGER, stranger)?;
    println!(
        "   the same manifests for {STRANGER}: its {stranger} is {own}, in the same subnet, on the same node"
    );
    let mut shell = Console::log_in(cluster, (STRANGER, stranger), "owner")?;
    wait_for_address(&mut shell, &own)?;
    let ping = format!("ping -q -c 3 -W 1 {peer}");
    let said = shell.run(&ping)?;
    print!("{}", indent(&format!("tiny# {ping}\n{said}")));
    ensure!(own == peer || said.contains(" 0 packets received"), "the stranger got an answer");
    Ok(())
}

impl Talk {
    /// Pings on while something happens to all around the guests.
    pub fn go_on(&self, cluster: &Cluster) -> Result<()> {
        pings::begin(&mut self.shell(cluster)?, &self.peer)
    }

    /// Says what became of that.
    pub fn end(&self, cluster: &Cluster) -> Result<()> {
        let Pings { sent, received } = pings::end(&mut self.shell(cluster)?)?;
        println!(
            "   meanwhile the two servers sent {sent} pings across nodes, {received} were answered"
        );
        ensure!(sent == received && sent > 0, "packets were lost");
        Ok(())
    }

    fn shell(&self, cluster: &Cluster) -> Result<Console> {
        Console::log_in(cluster, (TENANT, &self.servers[0]), "owner")
    }

    /// Deletes the servers and networks of both tenants.
    pub fn delete(&self, cluster: &Cluster) -> Result<()> {
        let [ours, theirs] = [TENANT, STRANGER].map(|name| format!("--namespace={name}"));
        let servers = self.servers.iter().map(|name| format!("virtualserver/{name}"));
        let servers: Vec<String> = servers.collect();
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        cluster.kubectl(&[&["delete", &ours, "--timeout=180s"], &servers[..]].concat())?;
        let networks = ["delete", "tenantnetworks", "--all", "--timeout=180s", &ours];
        cluster.kubectl(&networks)?;
        cluster.kubectl(&["delete", "namespace", STRANGER, "--timeout=180s"])?;
        for within in [ours, theirs] {
            let kinds = "networkports,addressclaims,tenantnetworks";
            let left = cluster.kubectl(&[&within, "get", kinds, "--output=name"])?;
            ensure!(left.is_empty(), "there still is: {left}");
        }
        Ok(())
    }
}

/// Applies a server that is to go to a node.
fn put(cluster: &Cluster, namespace: &str, server: &Value, node: &str) -> Result<()> {
    let _pinned = Pinned::to(cluster, node)?;
    let yaml = serde_yaml::to_string(server).context("write a manifest")?;
    print!("{}", indent(&scenario::apply(cluster, &yaml)?));
    let object = format!("virtualserver/{}", name(server)?);
    let placed = "{.status.placement.nodeName}";
    scenario::wait_field(cluster, (namespace, &object), placed, UP, |on| on == node).map(|_| ())
}

fn address(cluster: &Cluster, namespace: &str, server: &str) -> Result<String> {
    let object = format!("virtualserver/{server}");
    scenario::field(cluster, (namespace, &object), "{.status.interfaces[0].addresses[0]}")
}

fn name(object: &Value) -> Result<String> {
    let name = object.get("metadata").and_then(|metadata| metadata.get("name")?.as_str());
    name.map(str::to_owned).context("an object has a name")
}

fn example(file: &str) -> Result<String> {
    let path = source_root().join("examples").join(file);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// The example's manifests.
struct Manifests(String);

impl Manifests {
    fn read() -> Result<Self> {
        example("40-tenant-network.yaml").map(Self)
    }

    /// The same for another namespace.
    fn of(&self, namespace: &str) -> Result<Self> {
        ensure!(self.0.contains(TENANT), "the example is in the namespace {TENANT}");
        Ok(Self(self.0.replace(TENANT, namespace)))
    }

    /// The servers, and the text of everything else.
    fn split(&self) -> Result<(Vec<Value>, String)> {
        let documents = serde_yaml::Deserializer::from_str(&self.0).map(Value::deserialize);
        let documents = documents.collect::<Result<Vec<_>, _>>().context("read the example")?;
        let is_server =
            |object: &Value| object.get("kind").and_then(Value::as_str) == Some("VirtualServer");
        let (servers, rest): (Vec<_>, Vec<_>) = documents.into_iter().partition(is_server);
        ensure!(servers.len() == NODES.len(), "the example has {} servers", NODES.len());
        let rest = rest.iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>()?;
        Ok((servers, rest.join("---\n")))
    }
}
