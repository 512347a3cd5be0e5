//! Objects that are in the API but cannot be read by this program: malformed,
//! or of a schema that it does not know. What depends on one waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// One object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Why.
    pub error: String,
    /// The node that it takes room of, as far as that can be told.
    pub node: Option<String>,
}

/// Kind, namespace (empty for none), name.
type Key = (String, String, String);

/// Every object that cannot be read.
#[derive(Debug, Default)]
pub struct Unreadable {
    entries: Mutex<BTreeMap<Key, Entry>>,
}

impl Unreadable {
    /// Why an object cannot be read, if so.
    pub fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<Entry> {
        self.lock().get(&key(kind, namespace, name)).cloned()
    }

    /// Notes an object. True when it was not known to be unreadable in this way.
    pub fn note(&self, kind: &str, namespace: &str, name: &str, entry: &Entry) -> bool {
        let before = self.lock().insert(key(kind, namespace, name), entry.clone());
        before.as_ref() != Some(entry)
    }

    /// Forgets an object: it can be read, or is gone.
    pub fn forget(&self, kind: &str, namespace: &str, name: &str) {
        self.lock().remove(&key(kind, namespace, name));
    }

    /// Forgets every object of a kind but those that a full list just named.
    pub fn keep_only(&self, kind: &str, named: &[(String, String)]) {
        self.lock().retain(|(of, namespace, name), _| {
            of != kind || named.iter().any(|(ns, n)| ns == namespace && n == name)
        });
    }

    /// Nodes on which an object is that cannot be read, with its name.
    pub fn blind_nodes(&self) -> BTreeMap<String, String> {
        let named = |((kind, namespace, name), entry): (&Key, &Entry)| {
            entry.node.clone().map(|node| (node, format!("{kind} {namespace}/{name}")))
        };
        self.lock().iter().filter_map(named).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(kind: &str, namespace: &str, name: &str) -> Key {
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}

/// The node that an object takes room of, read as far as it goes.
pub fn node_of(object: &Value) -> Option<String> {
    let status = object.get("status")?;
    let node = status.get("placement").and_then(|p| p.get("nodeName")).or(status.get("nodeName"))?;
    node.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_node_is_found_in_servers_and_disks_however_broken() {
        let server = json!({"spec": 7, "status": {"placement": {"nodeName": "a", "epoch": []}}});
        assert_eq!(node_of(&server).as_deref(), Some("a"));
        assert_eq!(node_of(&json!({"status": {"nodeName": "b"}})).as_deref(), Some("b"));
        assert_eq!(node_of(&json!({"status": {"placement": 1}})), None);
    }

    #[test]
    fn a_full_list_forgets_only_its_own_kind() {
        let unreadable = Unreadable::default();
        let entry = || Entry { error: "e".into(), node: Some("a".into()) };
        assert!(unreadable.note("Disk", "x", "one", &entry()));
        assert!(!unreadable.note("Disk", "x", "one", &entry()));
        unreadable.note("Disk", "x", "two", &entry());
        unreadable.note("ServerClass", "", "one", &entry());
        unreadable.keep_only("Disk", &[("x".into(), "two".into())]);
        assert!(unreadable.find("Disk", "x", "one").is_none());
        assert!(unreadable.find("Disk", "x", "two").is_some());
        assert!(unreadable.find("ServerClass", "", "one").is_some());
    }
}
