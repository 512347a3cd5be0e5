//! The charts render to what the API server takes, and refuse wrong values
//! before anything is changed.

use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;
use suigen_e2e::artifact::{cache::Cache, tools::Tools};
use suigen_e2e::cluster::install::NAMESPACE;
use suigen_e2e::source_root;

use crate::api::{self, Kind, Who};

/// Values that must not come through, and a word of what is said of each.
const WRONG: &[(&str, &str)] = &[
    ("nodeDeamon.initial.softwareEmulation=Allow", "nodeDeamon"),
    ("nodeDaemon.initial.softwareEmulation=On", "softwareEmulation"),
    ("nodeDaemon.initial.reservedMemory=1.5Gi", "reservedMemory"),
    ("nodeDaemon.initial.reservedCpuMillis=-1", "reservedCpuMillis"),
    ("nodeDaemon.imageRetentionSeconds=soon", "imageRetentionSeconds"),
    ("network.vxlanPort=65536", "vxlanPort"),
    ("network.vniRange.first=0", "first"),
    ("network.vniRange.last=16777216", "last"),
    ("operator.replicas=0", "replicas"),
    ("operator.image.tag=a:b", "tag"),
    ("operator.image.tag=12", "tag"),
    ("operator.image.pullPolicy=Sometimes", "pullPolicy"),
    ("logFormat=Yaml", "logFormat"),
];

/// Values that a provider sets, all at once.
const RIGHT: &str = "nodeDaemon.initial.softwareEmulation=Allow,\
    network.vxlanPort=8472,network.vniRange.first=1,network.vniRange.last=4095,\
    operator.replicas=3,logLevel=debug,logFormat=Text,imagePullSecrets[0].name=pull,\
    operator.tolerations[0].operator=Exists,operator.nodeSelector.pool=system,\
    nodeDaemon.tolerations[0].key=pool,nodeDaemon.tolerations[0].operator=Exists,\
    operator.image.repository=registry.example:5000/suigen/operator";

fn helm(args: &[&str]) -> Output {
    let cache = Cache::open().expect("open the cache");
    let tools = Tools::ensure(&cache).expect("build helm");
    Command::new(tools.helm())
        .current_dir(source_root().join("charts"))
        .args(args)
        .output()
        .expect("run helm")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn admit_charts_pass_helms_strict_lint() {
    let lint = helm(&["lint", "--strict", "suigen", "suigen-crds"]);
    assert!(lint.status.success(), "{}", told(&lint));
}

#[test]
fn admit_charts_refuse_wrong_values_by_name() {
    for (value, word) in WRONG {
        let rendered = helm(&["template", "suigen", "suigen", "--set", value]);
        let told = told(&rendered);
        assert!(!rendered.status.success(), "{value} was taken");
        assert!(told.contains(word), "{value}: {told}");
    }
}

#[test]
fn admit_everything_that_the_chart_renders() {
    for values in ["", RIGHT] {
        let set: &[&str] = if values.is_empty() { &[] } else { &["--set", values] };
        let rendered =
            helm(&[&["template", "suigen", "suigen", "--namespace", NAMESPACE], set].concat());
        assert!(rendered.status.success(), "{}", told(&rendered));
        let text = String::from_utf8(rendered.stdout).expect("UTF-8");
        api::run(|server| async move { apply_all(&server, &text).await });
    }
}

/// A dry run of server-side apply, as Helm does it: an unknown field or a value
/// that no field takes is refused.
async fn apply_all(server: &api::Server, rendered: &str) {
    let mut kinds = 0;
    for document in serde_yaml::Deserializer::from_str(rendered) {
        let object = Value::deserialize(document).expect("YAML");
        if object.is_null() {
            continue;
        }
        let kind = Kind::of_object(&object);
        let said = api::apply(server.client(Who::Admin), &kind, NAMESPACE, &object).await;
        assert_eq!(said, Ok(()), "{} {}", object["kind"], object["metadata"]["name"]);
        kinds += 1;
    }
    assert!(kinds > 30, "only {kinds} objects were rendered");
}
