//! What a node is: read by its process 1 at every power-on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::address::NodeIndex;
use crate::artifact::set::Platform;

/// A node's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    /// The node's name, also its host name.
    pub name: String,
    /// Its address on the lab's bridge.
    pub address: String,
    /// Identity of the installed system (machine-id(5)): stays over power cycles.
    pub machine_id: String,
    /// Identity of the machine as its firmware would tell (SMBIOS).
    pub product_uuid: String,
    /// The directory with everything of the node that lasts.
    pub dir: PathBuf,
    /// The Debian root file system that it starts from.
    pub rootfs: PathBuf,
    /// Programs by the name of their directory below /opt/lab.
    pub programs: Vec<(String, PathBuf)>,
    /// The archive of the image that every pod needs.
    pub pause_image: PathBuf,
}

/// A directory or file of the host that the node sees.
#[derive(Debug)]
pub struct Bind {
    /// Path on the host.
    pub source: PathBuf,
    /// Absolute path in the node.
    pub target: String,
    /// Whether the node may change it.
    pub read_only: bool,
}

/// A kernel file that shows the node another value.
#[derive(Debug)]
pub struct Mask {
    /// Absolute path in the node.
    pub target: &'static str,
    /// What is read there.
    pub value: String,
}

impl NodeSpec {
    /// The description of a node of the lab `lab_id`, with its directory `dir`.
    pub fn new(lab_id: &str, node: NodeIndex, dir: &Path, platform: &Platform) -> Self {
        let tools = &platform.tools;
        let programs = [
            ("kubernetes", &tools.kubernetes),
            ("containerd", &tools.containerd),
            ("runc", &tools.runc),
            ("runc-lab", &tools.runc_lab),
            ("cni", &tools.cni),
        ];
        Self {
            name: node.name(),
            address: node.address().to_string(),
            machine_id: identity(&[lab_id, &node.name(), "machine"]),
            product_uuid: uuid(&identity(&[lab_id, &node.name(), "product"])),
            dir: dir.to_owned(),
            rootfs: platform.node_rootfs.clone(),
            programs: programs.map(|(name, path)| (name.to_owned(), path.clone())).into(),
            pause_image: platform.pause.clone(),
        }
    }

    /// Reads a description.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))
    }

    /// Where the node's root is mounted while it is put together.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Where process 1 leaves its record.
    pub fn init_record(&self) -> PathBuf {
        self.dir.join("log/init.json")
    }

    /// What is mounted into the node from the host.
    pub fn binds(&self) -> Vec<Bind> {
        let programs = self.programs.iter().map(|(name, path)| Bind {
            source: path.clone(),
            target: format!("/opt/lab/{name}"),
            read_only: true,
        });
        let lasting = LASTING.iter().map(|(name, target)| Bind {
            source: self.dir.join(name),
            target: (*target).to_owned(),
            read_only: false,
        });
        let etc = ["lab", "cni"].map(|name| Bind {
            source: self.dir.join("etc").join(name),
            target: if name == "lab" { "/etc/lab".into() } else { "/etc/cni/net.d".into() },
            read_only: true,
        });
        let pause = Bind {
            source: self.pause_image.clone(),
            target: "/opt/lab/pause.tar".to_owned(),
            read_only: true,
        };
        programs.chain(lasting).chain(etc).chain([pause]).collect()
    }

    /// What the node sees in place of what this machine's kernel says.
    pub fn masks(&self) -> Vec<Mask> {
        let fresh = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
        let mask = |target, value: &str| Mask { target, value: value.trim().to_owned() };
        vec![
            mask("/proc/sys/kernel/random/boot_id", &fresh),
            mask("/proc/sys/vm/overcommit_memory", "1"),
            mask("/proc/sys/kernel/panic", "10"),
            mask("/proc/sys/kernel/panic_on_oops", "1"),
            mask("/proc/sys/kernel/keys/root_maxbytes", "25000000"),
        ]
    }
}

/// Directories of the node that lie on the host's disk and survive a power
/// cycle: name below the node's directory, path in the node.
pub const LASTING: &[(&str, &str)] = &[
    ("containerd", "/var/lib/containerd"),
    ("kubelet", "/var/lib/kubelet"),
    ("suigen", "/var/lib/suigen"),
    ("log", "/var/log"),
];

fn identity(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(parts.join("/")))[..32].to_owned()
}

fn uuid(hex: &str) -> String {
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_distinct_by_lab_node_and_purpose() {
        let all: std::collections::BTreeSet<_> = [
            identity(&["1", "node-a", "machine"]),
            identity(&["1", "node-b", "machine"]),
            identity(&["2", "node-a", "machine"]),
            identity(&["1", "node-a", "product"]),
        ]
        .into();
        assert_eq!(all.len(), 4);
        assert_eq!(uuid(&"0123456789abcdef".repeat(2)), "01234567-89ab-cdef-0123-456789abcdef");
    }
}
