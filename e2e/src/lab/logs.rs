//! Where the lab's processes write, by name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::Lab;
use super::fault::NODE_SERVICES;

/// Every log there is, as name and file: `etcd`, `node-a/kubelet`, and pods as
/// `node-a/<namespace>_<pod>/<container>`.
pub fn all(lab: &Lab) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for path in entries(&lab.path("logs")) {
        found.push((stem(&path), path));
    }
    for node in lab.nodes()? {
        let logs = lab.path("nodes").join(node.name()).join("log");
        for service in NODE_SERVICES {
            found.push((format!("{}/{service}", node.name()), logs.join(format!("{service}.log"))));
        }
        for pod in entries(&logs.join("pods")) {
            // <namespace>_<pod>_<uid>/<container>/<restart>.log
            let (name, _uid) = stem(&pod).rsplit_once('_').map_or_else(
                || (stem(&pod), String::new()),
                |(name, uid)| (name.to_owned(), uid.to_owned()),
            );
            for container in entries(&pod) {
                if let Some(last) = entries(&container).pop() {
                    found.push((format!("{}/{name}/{}", node.name(), stem(&container)), last));
                }
            }
        }
    }
    found.retain(|(_, path)| path.is_file());
    found.sort();
    Ok(found)
}

/// The log whose name is, or begins with, `what`.
pub fn find(lab: &Lab, what: &str) -> Result<PathBuf> {
    let logs = all(lab)?;
    if let Some((_, path)) = logs.iter().find(|(name, _)| name == what) {
        return Ok(path.clone());
    }
    let similar: Vec<_> = logs.iter().filter(|(name, _)| name.contains(what)).collect();
    match similar[..] {
        [(_, path)] => Ok(path.clone()),
        [] => bail!("there is no log {what} (e2e lab logs lists them)"),
        _ => {
            let names: Vec<&str> = similar.iter().map(|(name, _)| name.as_str()).collect();
            bail!("several logs are named like that: {}", names.join(", "))
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_suffix(".log").map_or(name.clone(), str::to_owned)
}
