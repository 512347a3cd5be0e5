//! Ports and segments of tenants' networks.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use sha2::{Digest, Sha256};
use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::network_port::{NetworkPort, NetworkPortStatus};
use suigen_crds::network_segment::NetworkSegment;

use super::{Api, FIELD_MANAGER, ReadError, WriteError};

/// The longest name of a field manager that the API server admits, in bytes.
const MAX_MANAGER: usize = 128;

impl Api {
    /// Reads a NetworkPort; `None` only when the API server says that there is
    /// no such object.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn read_port(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<NetworkPort>, ReadError> {
        self.read(&self.namespaced(namespace), name).await
    }

    /// Writes the status of a NetworkPort that is bound to this node.
    ///
    /// # Errors
    /// When it is not, or may not be, written.
    pub async fn write_port(
        &self,
        (namespace, name): (&str, &str),
        uid: &Uid,
        status: &NetworkPortStatus,
    ) -> Result<(), WriteError> {
        let meant = ObjectMeta { namespace: Some(namespace.to_owned()), ..meant(name, uid) };
        self.apply_status::<NetworkPort>(&meant, json!(status)).await
    }

    /// Says that this node has nothing of a segment's network any more.
    ///
    /// # Errors
    /// When it is not, or may not be, written.
    pub async fn write_torn_down(&self, name: &str, uid: &Uid) -> Result<(), WriteError> {
        let node = &self.me.node;
        let status = json!({ "tornDown": [{ "nodeName": node }] });
        // Each node has an entry of its own in the list, so each is a manager
        // of its own: as one, they would take away each other's.
        let manager = manager(node);
        self.apply_status_as::<NetworkSegment>(&manager, &meant(name, uid), status).await
    }
}

fn meant(name: &str, uid: &Uid) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), uid: Some(uid.to_string()), ..ObjectMeta::default() }
}

fn manager(node: &NodeName) -> String {
    let name = format!("{FIELD_MANAGER}.{node}");
    if name.len() <= MAX_MANAGER {
        return name;
    }
    let digest = hex::encode(Sha256::digest(node.as_str()));
    format!("{FIELD_MANAGER}.{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_a_manager_of_its_own_within_the_limit() {
        let node = |name: String| NodeName::try_from(name).unwrap();
        let long = |end: &str| node(format!("{}{end}", "label.".repeat(40)));
        assert_eq!(manager(&node("node-a".into())), "suigen-node-daemon.node-a");
        assert!(manager(&long("a")).len() <= MAX_MANAGER);
        assert_ne!(manager(&long("a")), manager(&long("b")));
    }
}
