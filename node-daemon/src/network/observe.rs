//! Reads what the kernel holds in the tenants' namespace: links and
//! forwarding tables by dumps of rtnetlink, rules by `nft -j list`.

use std::collections::{BTreeMap, BTreeSet};

use rtnetlink::Handle;

use super::ident::LinkName;
use super::netlink::netns::Namespace;
use super::netlink::{self, fdb, links};
use super::nft::{self, Nft, Reading};
use super::topology::Topology;

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// What is ours, in the same form as what should be.
    pub topology: Topology,
    /// The kernel's numbers of the links.
    pub indices: BTreeMap<LinkName, u32>,
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
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Netlink(error) => error.reason(),
            Self::Nft(error) => error.reason(),
        }
    }
}

/// Reads everything. `intact` is how the constant rules read where nobody
/// touched them.
///
/// # Errors
/// When a dump fails or nft does.
pub async fn observe(
    handle: &Handle,
    namespace: &Namespace,
    nft: &Nft,
    intact: &Reading,
) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    let dump = links::dump(handle).await?;
    let by_index = dump.links.iter().map(|(name, found)| (found.index, name.clone())).collect();
    observed.topology.fdb = fdb::dump(handle, &by_index, &dump.vnis()).await?;
    observed.indices = by_index.into_iter().map(|(index, name)| (name, index)).collect();
    observed.topology.links =
        dump.links.into_iter().map(|(name, found)| (name, found.link)).collect();
    observed.foreign = dump.foreign;
    if let Some(reading) = nft.read(namespace).await? {
        let same = reading.constant == intact.constant;
        observed.rules = if same { ObservedRules::Intact } else { ObservedRules::Altered };
        observed.topology.elements = reading.elements;
    }
    Ok(observed)
}
