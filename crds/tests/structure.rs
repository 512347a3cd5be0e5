//! The structure that the architecture promises, over the whole workspace.

// What fails here is the test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for member in ["crds", "operator", "node-daemon", "e2e"] {
        for part in ["src", "tests", "examples"] {
            sources(&root().join(member).join(part), &mut found);
        }
    }
    assert!(found.len() > 50, "only {} source files were found", found.len());
    found
}

/// The dependencies of a member, as its manifest names them.
fn dependencies(member: &str) -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
    let mut section = "";
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]" && line.contains('=') {
            names.push(line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned());
        }
    }
    assert!(!names.is_empty(), "{member} depends on nothing?");
    names
}

#[test]
fn operator_and_node_daemon_do_not_know_each_other() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("crds", &[][..]),
        ("operator", &["suigen-crds"]),
        ("node-daemon", &["suigen-crds"]),
        ("e2e", &["suigen-crds", "suigen-operator", "suigen-node-daemon"]),
    ]);
    for (member, allowed) in allowed {
        for name in dependencies(member).iter().filter(|name| name.starts_with("suigen-")) {
            assert!(allowed.contains(&name.as_str()), "{member} depends on {name}");
        }
    }
}

#[test]
fn the_types_need_neither_a_client_nor_a_runtime() {
    let names = dependencies("crds");
    for foreign in ["tokio", "kube-client", "kube-runtime", "hyper", "tracing"] {
        assert!(!names.iter().any(|name| name == foreign), "crds depends on {foreign}");
    }
}

/// What a decision depends on, it is given; so every decision can be tested.
#[test]
fn pure_files_import_neither_a_client_nor_a_runtime() {
    let mut pure = 0;
    for path in all_sources() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let engine = path.to_str().unwrap().contains("/operator/src/placement/");
        if !(engine || name == "decide.rs" || name == "right.rs") {
            continue;
        }
        pure += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for foreign in
            ["tokio::", "kube::Client", "kube::Api", "async ", "::now()", "std::env", "std::fs"]
        {
            assert!(!code.contains(foreign), "{}: {foreign}", path.display());
        }
    }
    assert!(pure > 0, "no pure file was found");
}

/// A file past this is asking to be two.
#[test]
fn files_stay_small() {
    let long: Vec<String> = all_sources()
        .iter()
        .map(|path| (path, std::fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 400)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}
