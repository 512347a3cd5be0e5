//! Deletion and what holds it up.

use kube::{Resource, ResourceExt};
use suigen_crds::FINALIZER;

/// What a deletion timestamp means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// There is none.
    No,
    /// The object is to go.
    Wanted,
    /// The CRD itself is being deleted, which marks every object: nothing is
    /// stopped or erased because of that.
    CrdTerminating,
}

/// What is to become of our finalizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalizer {
    /// As it is.
    Keep,
    /// It is missing.
    Add,
    /// Nothing holds the deletion up any more.
    Lift,
}

/// Whether our finalizer is on the object.
pub fn is_held<K: Resource>(object: &K) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Reads the deletion timestamp, given whether the CRD is terminating.
pub fn deletion<K: Resource>(object: &K, crd_is_terminating: bool) -> Deletion {
    match (object.meta().deletion_timestamp.is_some(), crd_is_terminating) {
        (false, _) => Deletion::No,
        (true, false) => Deletion::Wanted,
        (true, true) => Deletion::CrdTerminating,
    }
}
