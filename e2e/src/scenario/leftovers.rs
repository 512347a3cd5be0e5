//! What a node still has of a server or a disk.

use anyhow::Result;

use crate::cluster::Cluster;

/// Lists every process, cgroup, file, socket and tap on a node that carries one
/// of the UIDs in its name, alias or command line.
///
/// The node's whole tree is looked at, not the places where things should be.
pub fn of(cluster: &Cluster, node: &str, uids: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for uid in uids {
        let script = format!(
            "find /var/lib/suigen /run /sys/fs/cgroup /tmp /etc -path '*{uid}*' 2>/dev/null; \
             for p in /proc/[0-9]*; do \
               tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q -- '[-]uuid {uid}' && echo \"process $p\"; \
             done; \
             nsenter --net=/run/suigen/netns/suigen ip -o -d link 2>/dev/null | grep -- {uid}; true"
        );
        let listed = super::on_node(cluster, node, &["sh", "-c", &script])?;
        found.extend(listed.lines().map(str::to_owned));
    }
    Ok(found)
}
