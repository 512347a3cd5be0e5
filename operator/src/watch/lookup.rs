//! Looking one object up by name: there, not there, or there but not readable.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};

use super::unreadable::Unreadable;

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<K> {
    /// The object.
    Found(Arc<K>),
    /// There is none of that name.
    Missing,
    /// There is one that cannot be read, and why.
    Unreadable(String),
}

impl<K> Lookup<K> {
    /// The object, if it can be read.
    pub const fn found(&self) -> Option<&Arc<K>> {
        match self {
            Self::Found(object) => Some(object),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

/// Looks an object up; cluster-scoped kinds have an empty namespace.
pub fn lookup<K>(
    store: &Store<K>,
    unreadable: &Unreadable,
    namespace: &str,
    name: &str,
) -> Lookup<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let mut reference = ObjectRef::new(name);
    if !namespace.is_empty() {
        reference = reference.within(namespace);
    }
    match store.get(&reference) {
        Some(object) => Lookup::Found(object),
        None => match unreadable.find(&K::kind(&()), namespace, name) {
            Some(entry) => Lookup::Unreadable(entry.error),
            None => Lookup::Missing,
        },
    }
}
