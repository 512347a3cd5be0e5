//! Every CRD follows the conventions of the API, whatever is added to it.

// What fails here is the test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use serde_json::Value;

/// A node of a schema and where it is, such as `Disk.status.volume.state`.
struct Node<'a> {
    path: String,
    schema: &'a Value,
}

impl Node<'_> {
    fn has(&self, field: &str) -> bool {
        self.schema.get(field).is_some()
    }

    fn is(&self, type_: &str) -> bool {
        self.schema["type"] == type_
    }

    fn fails(&self, rule: &str) -> String {
        format!("{}: {rule}", self.path)
    }
}

fn crds() -> Vec<Value> {
    let crds = suigen_crds::all_crds().unwrap();
    assert_eq!(crds.len(), 10);
    crds.into_iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()
}

fn kind(crd: &Value) -> &str {
    crd["spec"]["names"]["kind"].as_str().unwrap()
}

fn version(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]
}

fn walk<'a>(path: &str, schema: &'a Value, found: &mut Vec<Node<'a>>) {
    found.push(Node { path: path.to_owned(), schema });
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, found);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, found);
    }
}

/// Asserts a rule of every node: `None` when the node keeps it.
fn every_node(rule: impl Fn(&Node<'_>) -> Option<String>) {
    let mut broken = Vec::new();
    for crd in &crds() {
        let mut nodes = Vec::new();
        walk(kind(crd), &version(crd)["schema"]["openAPIV3Schema"], &mut nodes);
        assert!(nodes.len() >= 4, "{}: nothing to walk", kind(crd));
        broken.extend(nodes.iter().filter_map(&rule));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_field_has_a_description() {
    every_node(|node| {
        let text = node.schema["description"].as_str().unwrap_or_default();
        text.trim().is_empty().then(|| node.fails("has no description"))
    });
}

#[test]
fn every_string_is_bounded() {
    every_node(|node| {
        let text = node.is("string") || node.schema["x-kubernetes-int-or-string"] == true;
        (text && !node.has("maxLength") && !node.has("enum"))
            .then(|| node.fails("is a string with neither maxLength nor enum"))
    });
}

#[test]
fn every_list_is_bounded_and_says_how_it_merges() {
    every_node(|node| {
        if !node.is("array") {
            return None;
        }
        if !node.has("maxItems") {
            return Some(node.fails("is a list without maxItems"));
        }
        let keys = node.schema["x-kubernetes-list-map-keys"].as_array();
        match node.schema["x-kubernetes-list-type"].as_str() {
            Some("map") if keys.is_some_and(|keys| !keys.is_empty()) => None,
            Some("atomic" | "set") => None,
            _ => Some(node.fails("is a list that does not say how it merges")),
        }
    });
}

/// What a person writes has room to grow; what a program reads has one meaning.
#[test]
fn no_booleans_floats_maps_or_nulls() {
    every_node(|node| {
        let open = node.has("additionalProperties")
            || node.schema["x-kubernetes-preserve-unknown-fields"] == true;
        let untyped = !node.has("type") && node.schema["x-kubernetes-int-or-string"] != true;
        let wrong = [
            (node.is("boolean"), "is a boolean; an enum can grow"),
            (node.is("number"), "is a floating-point number"),
            (open, "is an open map; a list with keys has bounds"),
            (node.has("nullable"), "is nullable; absent says the same"),
            (untyped, "has no type"),
        ];
        wrong.iter().find(|(broken, _)| *broken).map(|(_, why)| node.fails(why))
    });
}

#[test]
fn integers_have_a_format_that_kubernetes_knows() {
    every_node(|node| {
        let known = matches!(node.schema["format"].as_str(), Some("int32" | "int64"));
        (node.is("integer") && !known).then(|| node.fails("is an integer without int32 or int64"))
    });
}

/// YAML 1.1 reads these as booleans unless they are quoted. A condition's
/// `status` has such values in all of Kubernetes, and no person writes it.
#[test]
fn enum_values_are_words_that_yaml_leaves_alone() {
    const BOOLEANS: [&str; 9] = ["y", "n", "yes", "no", "true", "false", "on", "off", "null"];
    every_node(|node| {
        let values = node.schema["enum"].as_array()?;
        let bad = values.iter().find(|value| {
            let Some(word) = value.as_str() else { return true };
            BOOLEANS.contains(&word.to_lowercase().as_str())
                || !word.starts_with(|c: char| c.is_ascii_uppercase())
                || !word.chars().all(|c| c.is_ascii_alphanumeric())
        })?;
        let condition = node.path.ends_with(".conditions[].status");
        (!condition).then(|| node.fails(&format!("has the enum value {bad}")))
    });
}

/// A reader's word for what it does not know is not a value to be written.
#[test]
fn unknown_is_no_value_but_where_it_is_a_state() {
    every_node(|node| {
        let values = node.schema["enum"].as_array()?;
        let state = node.path.ends_with(".conditions[].status") || node.path.ends_with(".phase");
        (values.contains(&"Unknown".into()) && !state).then(|| node.fails("admits Unknown"))
    });
}

#[test]
fn rules_tell_what_is_wrong_without_quoting_themselves() {
    every_node(|node| {
        let rules = node.schema["x-kubernetes-validations"].as_array()?;
        let silent = rules.iter().any(|rule| rule["message"].as_str().is_none_or(str::is_empty));
        silent.then(|| node.fails("has a rule without a message"))
    });
}

#[test]
fn a_status_has_generation_conditions_and_a_subresource() {
    for crd in &crds() {
        let kind = kind(crd);
        let status = &version(crd)["schema"]["openAPIV3Schema"]["properties"]["status"];
        let bare = ["ServerClass", "DiskClass", "ServerImage", "AddressClaim"].contains(&kind);
        assert_eq!(status.is_null(), bare, "{kind}: only an offer or a claim has no status");
        if bare {
            continue;
        }
        assert!(version(crd)["subresources"]["status"].is_object(), "{kind}");
        // What no person writes has words of its own.
        if ["NetworkSegment", "NetworkPort"].contains(&kind) {
            continue;
        }
        assert!(status["properties"]["observedGeneration"].is_object(), "{kind}");
        let conditions = &status["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]), "{kind}");
    }
}

#[test]
fn names_categories_and_columns_are_those_of_the_api() {
    let mut short_names = BTreeSet::new();
    for crd in &crds() {
        let (kind, names) = (kind(crd), &crd["spec"]["names"]);
        assert_eq!(crd["spec"]["group"], suigen_crds::GROUP, "{kind}");
        assert_eq!(version(crd)["name"], suigen_crds::VERSION, "{kind}");
        assert_eq!(names["categories"], serde_json::json!(["suigen"]), "{kind}");
        assert_eq!(names["shortNames"].as_array().map(Vec::len), Some(1), "{kind}");
        assert!(short_names.insert(names["shortNames"][0].to_string()), "{kind}: taken");

        let columns = version(crd)["additionalPrinterColumns"].as_array().unwrap();
        assert_eq!(columns.last().unwrap()["name"], "Age", "{kind}: age comes last");
        let wide = columns.iter().rev().skip(1).skip_while(|column| column["priority"] == 1);
        assert!(wide.clone().all(|column| column["priority"].is_null()), "{kind}: wide ones after");
    }
}

#[test]
fn removing_the_chart_keeps_the_kinds() {
    for crd in &crds() {
        let notes = &crd["metadata"]["annotations"];
        assert_eq!(notes["helm.sh/resource-policy"], "keep", "{}", kind(crd));
        assert_eq!(notes["argocd.argoproj.io/sync-options"], "Prune=false", "{}", kind(crd));
        let schema = suigen_crds::SCHEMA_VERSION.to_string();
        assert_eq!(notes[suigen_crds::SCHEMA_ANNOTATION], schema.as_str(), "{}", kind(crd));
    }
}
