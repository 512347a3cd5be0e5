//! The examples are admitted as they stand.

use serde::Deserialize;
use serde_json::Value;
use suigen_e2e::source_root;

use crate::api::{self, Kind, Who, Write};

#[test]
fn admit_every_example() {
    api::run(|server| async move {
        let mut tried = 0;
        for entry in std::fs::read_dir(source_root().join("examples")).expect("the examples") {
            let path = entry.expect("an example").path();
            let text = std::fs::read_to_string(&path).expect("read an example");
            for document in serde_yaml::Deserializer::from_str(&text) {
                let mut object = Value::deserialize(document).expect("YAML");
                let Some("suigen.dev/v1alpha1") = object["apiVersion"].as_str() else { continue };
                let kind = object["kind"].as_str().expect("a kind").to_owned();
                // The lab may have the example's own objects.
                object["metadata"]["name"] = format!("example-{}", std::process::id()).into();
                object["metadata"]["namespace"] = "default".into();
                if !["VirtualServer", "Disk", "TenantNetwork"].contains(&&*kind) {
                    object["metadata"].as_object_mut().expect("metadata").remove("namespace");
                }
                let kind = Kind::of_suigen(&kind);
                let said =
                    server.attempt(Who::Admin, &kind, "default", &Write::Create(object)).await;
                assert_eq!(said, Ok(()), "{}", path.display());
                tried += 1;
            }
        }
        assert!(tried >= 5, "only {tried} objects were found");
    });
}
