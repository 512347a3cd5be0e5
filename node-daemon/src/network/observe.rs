//! Reads all that the kernel holds in the tenants' namespace: links and
//! forwarding tables by dumps of rtnetlink, rules by `nft -j list`. Done at
//! the start, where notifications were lost, and now and then.

use std::collections::BTreeSet;

use rtnetlink::Handle;

use super::cache::Cache;
use super::ident::LinkName;
use super::netlink::netns::Namespace;
use super::netlink::{self, fdb, links};
use super::nft::{self, Nft, Reading};
use super::rules::Elements;
use super::topology::Topology;

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// What is ours, in the same form as what should be.
    pub topology: Topology,
    /// Links that do not carry our mark.
    pub foreign: BTreeSet<LinkName>,
    /// The state of the constant rules.
    pub rules: ObservedRules,
}

/// The state of the constant rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ObservedRules {
    /// There is no table of ours.
    #[default]
    Absent,
    /// They are as this program writes them.
    Intact,
    /// An older program wrote them, or somebody changed them.
    Altered,
}

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Links or forwarding tables.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// Rules.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// Whether they changed.
    #[error("read the generation of the nft rules")]
    Generation(#[source] std::io::Error),
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Netlink(error) => error.reason(),
            Self::Nft(error) => error.reason(),
            Self::Generation(_) => "NftGenerationUnreadable",
        }
    }
}

/// Reads links and forwarding tables.
///
/// # Errors
/// When a dump fails.
pub async fn dump(handle: &Handle) -> Result<Cache, Error> {
    let links = links::dump(handle).await?;
    Ok(Cache::new(links, &fdb::dump(handle).await?))
}

/// Reads the rules: their state, and the elements of their sets. `intact` is
/// how the constant part reads where nobody touched it.
///
/// # Errors
/// When nft fails.
pub async fn rules(
    namespace: &Namespace,
    nft: &Nft,
    intact: &Reading,
) -> Result<(ObservedRules, Elements), Error> {
    Ok(match nft.read(namespace).await? {
        None => (ObservedRules::Absent, Elements::default()),
        Some(reading) if reading.constant == intact.constant => {
            (ObservedRules::Intact, reading.elements)
        }
        Some(reading) => (ObservedRules::Altered, reading.elements),
    })
}
