//! What runs is found before anything is watched: cgroups, records and logs are
//! read, QMP sockets opened by the tasks that follow. Works while the API
//! server is away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use suigen_crds::ident::Uid;

use super::registry::Registry;
use super::task::Task;
use crate::hypervisor::qemu::process::{self, Found, Process};
use crate::report::runtime::explain;

/// What of one server was found.
#[derive(Debug, Default)]
pub struct Remains {
    /// The process that runs, with its incarnation.
    pub process: Option<(i64, Process)>,
    /// Incarnations whose process has ended.
    pub residue: Vec<i64>,
}

/// Makes a task for every server that has a cgroup, a record or a log here.
/// Returns how many guests run.
///
/// # Errors
/// When the node cannot be looked at. The daemon must not go on then: it would
/// take what it does not see for what is not there.
pub fn adopt(registry: &Registry) -> anyhow::Result<usize> {
    let paths = &registry.node().paths;
    let mut remains: BTreeMap<Uid, Remains> = BTreeMap::new();
    for found in process::find(paths)? {
        note(remains.entry(found.server.clone()).or_default(), &found)?;
    }
    for dir in [paths.servers(), paths.rights()] {
        for server in names(&dir)? {
            remains.entry(server).or_default();
        }
    }
    let mut running = 0;
    for (server, remains) in remains {
        running += usize::from(remains.process.is_some());
        let node = registry.node().clone();
        registry.adopt(&server, |sender, queue| {
            Task::adopted(node, server.clone(), sender, queue, remains)
        });
    }
    tracing::info!(running, "adopted");
    Ok(running)
}

fn note(remains: &mut Remains, found: &Found) -> anyhow::Result<()> {
    let process = Process::adopt(found).map_err(|error| {
        anyhow::anyhow!("adopt a guest of server {}: {}", found.server, explain(&error))
    })?;
    match process {
        Some(process) => {
            if let Some((other, _)) = remains.process.replace((found.incarnation, process)) {
                // The image locks of QEMU let only one of them have the disks.
                tracing::error!(server = %found.server, other, "two incarnations of one server run");
            }
        }
        None => remains.residue.push(found.incarnation),
    }
    Ok(())
}

/// The servers that have an entry in a directory.
fn names(dir: &Path) -> std::io::Result<BTreeSet<Uid>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other?,
    };
    let mut servers = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        servers.extend(Uid::try_from(name).ok());
    }
    Ok(servers)
}
