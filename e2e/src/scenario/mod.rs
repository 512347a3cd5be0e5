//! What the demo, the scenarios and the benchmarks do to a cluster, through
//! the eyes of somebody with kubectl.

pub mod console;
pub mod endpoint;
pub mod leftovers;
pub mod manifest;
pub mod pings;
pub mod pinned;

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::lab::node::Node;

/// Applies manifests and returns what kubectl said of them.
pub fn apply(cluster: &Cluster, manifests: &str) -> Result<String> {
    feed(cluster, &["apply", "--filename=-"], manifests)
}

/// Runs kubectl with a text on its standard input.
pub fn feed(cluster: &Cluster, args: &[&str], input: &str) -> Result<String> {
    let mut child = cluster
        .kubectl_command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run kubectl")?;
    child.stdin.take().context("open kubectl's input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output().context("wait for kubectl")?;
    if !output.status.success() {
        bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An object, as a person names it: `("acme", "virtualserver/web-1")`; an
/// empty namespace for what has none.
pub type Named<'a> = (&'a str, &'a str);

/// Waits with `kubectl wait`; a failure shows the object's conditions.
pub fn wait(cluster: &Cluster, object: Named<'_>, what: &str, limit: Duration) -> Result<()> {
    let (namespace, name) = object;
    let timeout = format!("--timeout={}s", limit.as_secs());
    let what = format!("--for={what}");
    let waited = cluster.kubectl(&[&in_namespace(namespace), "wait", name, &what, &timeout]);
    waited.map(|_| ()).with_context(|| {
        let said = conditions(cluster, object).unwrap_or_else(|error| format!("{error:#}"));
        format!("{name} has these conditions:\n{said}")
    })
}

/// Waits until a JSONPath of an object gives a text that satisfies `wanted`.
pub fn wait_field(
    cluster: &Cluster,
    object: Named<'_>,
    path: &str,
    limit: Duration,
    wanted: impl Fn(&str) -> bool,
) -> Result<String> {
    let mut last = String::new();
    crate::progress::wait_for(&format!("{} {path}", object.1), limit, || {
        last = field(cluster, object, path)?;
        Ok(wanted(&last).then(|| last.clone()))
    })
    .with_context(|| {
        let said = conditions(cluster, object).unwrap_or_else(|error| format!("{error:#}"));
        format!("{} has at {path}: {:?}\n{said}", object.1, field(cluster, object, path).ok())
    })
}

/// A field of an object by JSONPath, empty where it is absent.
pub fn field(cluster: &Cluster, object: Named<'_>, path: &str) -> Result<String> {
    let (namespace, name) = object;
    cluster.kubectl(&[
        &in_namespace(namespace),
        "get",
        name,
        "--ignore-not-found",
        &format!("--output=jsonpath={path}"),
    ])
}

/// A condition of an object as `reason: message`.
pub fn condition(cluster: &Cluster, object: Named<'_>, type_: &str) -> Result<String> {
    let one = format!(r#"{{.status.conditions[?(@.type=="{type_}")]"#);
    field(cluster, object, &format!("{one}.reason}}: {one}.message}}"))
}

fn conditions(cluster: &Cluster, object: Named<'_>) -> Result<String> {
    field(
        cluster,
        object,
        r#"{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}"#,
    )
}

fn in_namespace(namespace: &str) -> String {
    match namespace {
        "" => "--all-namespaces=false".to_owned(),
        _ => format!("--namespace={namespace}"),
    }
}

/// Runs a command inside a node of the lab.
pub fn on_node(cluster: &Cluster, node: &str, argv: &[&str]) -> Result<String> {
    let lab = cluster.lab()?;
    Node::new(lab, lab.node(node)?).exec(argv)
}

/// A token for a ServiceAccount, good for the operator and for nothing else.
pub fn console_token(cluster: &Cluster, namespace: &str, account: &str) -> Result<String> {
    let token = cluster.kubectl(&[
        &in_namespace(namespace),
        "create",
        "token",
        account,
        &format!("--audience={}", suigen_crds::OPERATOR_AUDIENCE),
    ])?;
    Ok(token.trim().to_owned())
}
