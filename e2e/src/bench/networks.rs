//! What tenants' networks cost a node: the figures that the node-daemon's
//! example `network_figures` measures in network namespaces of its own, without
//! the lab.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::table::Table;
use crate::artifact::workspace::target_dir;
use crate::command::output;
use crate::source_root;

/// Runs the example; an optimised build, since what programs the kernel would
/// otherwise be measured by its checks.
pub fn measure() -> Result<Value> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(source_root());
    cargo.args(["build", "--quiet", "--locked", "--release", "--workspace"]);
    cargo.args(["--example", "network_figures"]);
    output(&mut cargo).context("build what measures the networks")?;
    let program = target_dir()?.join("release/examples/network_figures");
    let printed = output(&mut Command::new(program)).context("measure the networks")?;
    serde_json::from_str(&printed).context("read the figures of the networks")
}

/// The figures as tables: every list of objects is one, and what is single is
/// in the first.
pub fn tables(figures: &Value) -> String {
    let Value::Object(figures) = figures else { return String::new() };
    let mut single = Table::new(&["figure", "measured"]);
    let mut any_single = false;
    let mut lists = String::new();
    for (name, value) in figures {
        match value {
            Value::Array(rows) => lists += &format!("\n### {}\n\n{}", words(name), list(rows)),
            _ => {
                single.row([words(name), cell(value)]);
                any_single = true;
            }
        }
    }
    if any_single { format!("{single}{lists}") } else { lists }
}

fn list(rows: &[Value]) -> String {
    let rows: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    let Some(first) = rows.first() else { return String::new() };
    let headings: Vec<String> = first.keys().map(|key| words(key)).collect();
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for row in &rows {
        table.row(first.keys().map(|key| row.get(key).map_or_else(String::new, cell)));
    }
    table.to_string()
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_u64() && !number.is_i64() => format!("{float:.2}"),
            _ => number.to_string(),
        },
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// A name of the program as people write it.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_become_tables_and_single_figures_share_one() {
        let figures = json!({
            "create": [{"networks": 1, "p99_ms": 2.345}, {"networks": 4000, "p99_ms": null}],
            "ratio": 0.987,
        });
        let tables = tables(&figures);
        assert!(tables.contains("### create"), "{tables}");
        assert!(tables.contains("| networks | p99 ms |"), "{tables}");
        assert!(tables.contains("| 4000     | -      |"), "{tables}");
        assert!(tables.contains("| ratio  | 0.99     |"), "{tables}");
    }
}
