//! Finishing touches on the derived CRDs, so that the API server takes them
//! without a warning and `kubectl explain` reads well.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::{SCHEMA_ANNOTATION, SCHEMA_VERSION};

/// Completes a derived CRD.
///
/// - `nullable` goes: absent and null are the same to us, and the API server
///   prunes nulls where a field is not nullable.
/// - Integer formats other than `int32` and `int64` go: the API server warns of them.
/// - The schema's version and Helm's keep policy are annotated: removing the
///   chart must never remove every server with it.
/// - The time of a condition is a `date-time` with a bound.
///
/// # Errors
/// When the result is no CRD any more.
pub fn finish(
    crd: CustomResourceDefinition,
) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    polish(&mut value);
    value["metadata"]["annotations"] = json!({
        SCHEMA_ANNOTATION: SCHEMA_VERSION.to_string(),
        "helm.sh/resource-policy": "keep",
        "argocd.argoproj.io/sync-options": "Prune=false",
    });
    serde_json::from_value(value)
}

fn polish(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("nullable");
            let foreign = |format: &Value| {
                format.as_str().is_some_and(|f| f.starts_with("uint") || f == "double")
            };
            if fields.get("format").is_some_and(foreign) {
                fields.remove("format");
            }
            if fields.get("format").is_some_and(|f| f == "date-time") {
                fields.insert("maxLength".into(), json!(64));
            }
            fields.values_mut().for_each(polish);
        }
        Value::Array(items) => items.iter_mut().for_each(polish),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
