//! Rooms promised to servers whose placement the store does not show yet.
//!
//! A promise carries the resourceVersion that its placement was written
//! against. Once the store shows the server at another version, the write
//! either landed and is counted there, or can never land: the promise is void.

use std::collections::BTreeMap;

use suigen_crds::ident::{NodeName, Uid};
use suigen_crds::network_interface::PlacedInterface;

use super::Amounts;

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The resourceVersion of the server that the decision was made on.
    pub version: String,
    /// The hypervisor.
    pub node: NodeName,
    /// What is taken there.
    pub amounts: Amounts,
    /// Disks, by UID, that go with the server.
    pub disks: Vec<Uid>,
    /// The server's namespace.
    pub namespace: String,
    /// The server's name.
    pub server: String,
    /// Its interfaces, so that no other server is given their addresses.
    pub interfaces: Vec<PlacedInterface>,
}

/// All promises that are not void.
#[derive(Debug, Default)]
pub struct Ledger {
    promises: BTreeMap<Uid, Promise>,
}

impl Ledger {
    /// Notes a promise; it replaces an earlier one to the same server.
    pub fn promise(&mut self, server: Uid, promise: Promise) {
        self.promises.insert(server, promise);
    }

    /// Drops promises that are void. `version_of` tells at which version the
    /// store shows a server; none when it does not show it at all.
    pub fn settle(&mut self, version_of: impl Fn(&Uid) -> Option<String>) {
        self.promises.retain(|uid, promise| version_of(uid).is_some_and(|v| v == promise.version));
    }

    /// Promises to other servers than this one.
    pub fn others<'a>(&'a self, server: &'a Uid) -> impl Iterator<Item = &'a Promise> {
        self.promises.iter().filter(move |(uid, _)| *uid != server).map(|(_, promise)| promise)
    }

    /// Whether there is any promise.
    pub fn is_empty(&self) -> bool {
        self.promises.is_empty()
    }
}
