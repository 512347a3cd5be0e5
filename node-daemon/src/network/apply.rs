//! Carries out a plan. A network that cannot be served does not hold up the
//! others: what depends on a failed operation is left out and tried again with
//! the next plan. Rules that cannot be set stop everything, since a port must
//! not be opened without them.

use rtnetlink::Handle;

use super::cache::{Cache, Dirty};
use super::diff::Op;
use super::ident::{LinkName, Vni};
use super::netlink;
use super::netlink::generation::Generations;
use super::netlink::netns::Namespace;
use super::netlink::requests::Requests;
use super::nft::{self, Nft};
use super::tap;
use super::watch::{self, Watch};

mod requests;
mod work;

use work::{Work, way};

/// What operations are carried out with.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The node's own namespace, where tunnels start.
    pub host: Requests,
    /// The tenants' namespace.
    pub tenants: Requests,
    /// The same, to list what is there.
    pub listing: Handle,
    /// The same, for the rules.
    pub generations: Generations,
    /// The same, to enter.
    pub namespace: Namespace,
    /// The rules' tool.
    pub nft: Nft,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Links or forwarding tables.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// Rules.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// Taps.
    #[error(transparent)]
    Tap(#[from] tap::Error),
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Netlink(error) => error.reason(),
            Self::Nft(error) => error.reason(),
            Self::Tap(error) => error.reason(),
        }
    }
}

/// An operation that failed.
#[derive(Debug)]
pub struct Failure {
    /// What it was to change.
    pub subject: Subject,
    /// Why it did not.
    pub error: Error,
}

/// What an operation changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The rules of all ports.
    Rules,
    /// A link.
    Link(LinkName),
    /// Entries of a network.
    Network(Vni),
}

impl Op {
    /// What it changes.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Rules { .. } => Subject::Rules,
            Self::DeleteLink { name }
            | Self::CreateLink { name, .. }
            | Self::SetOwner { name, .. }
            | Self::Configure { name, .. } => Subject::Link(name.clone()),
            Self::RemoveBridgeEntry { vni, .. }
            | Self::SetBridgeEntry { vni, .. }
            | Self::RemoveTunnel { vni, .. }
            | Self::SetTunnel { vni, .. }
            | Self::RemoveFlood { vni, .. }
            | Self::AddFlood { vni, .. } => Subject::Network(*vni),
        }
    }

    /// The links that must be there for it.
    fn needs(&self) -> Vec<LinkName> {
        match self {
            Self::Rules { .. } | Self::DeleteLink { .. } | Self::CreateLink { .. } => Vec::new(),
            Self::SetOwner { name, .. } => vec![name.clone()],
            Self::Configure { name, link } => {
                let bridge = link.port.iter().map(|port| port.bridge.clone());
                bridge.chain([name.clone()]).collect()
            }
            Self::RemoveBridgeEntry { link, .. } => vec![link.clone()],
            Self::SetBridgeEntry { vni, entry, .. } => {
                vec![LinkName::bridge(*vni), entry.link.clone()]
            }
            Self::RemoveTunnel { vni, .. }
            | Self::SetTunnel { vni, .. }
            | Self::RemoveFlood { vni, .. }
            | Self::AddFlood { vni, .. } => vec![LinkName::vxlan(*vni)],
        }
    }
}

/// Links and forwarding tables as they are while they are changed.
#[derive(Debug)]
pub struct Live<'a> {
    /// What is there.
    pub cache: &'a mut Cache,
    /// What was said about.
    pub dirty: &'a mut Dirty,
    /// Tells of changes, our own among them.
    pub watch: &'a Watch,
}

impl Live<'_> {
    /// Takes in what was told.
    ///
    /// # Errors
    /// When the socket breaks.
    pub fn refresh(&mut self) -> Result<(), watch::Error> {
        let told = self.watch.take()?;
        self.dirty.lost |= told.lost;
        told.messages.iter().for_each(|message| self.cache.take(message, self.dirty));
        Ok(())
    }
}

/// Carries out operations in their order.
///
/// # Errors
/// When it cannot be told any more what they did.
pub async fn apply(
    kernel: &Kernel,
    ops: &[Op],
    live: &mut Live<'_>,
) -> Result<Vec<Failure>, watch::Error> {
    let mut work = Work::new(kernel, live);
    // Those of a kind depend on those before them, not on each other.
    for alike in ops.chunk_by(|one, next| way(one) == way(next)) {
        if !work.do_alike(alike).await? {
            break;
        }
    }
    Ok(work.failures)
}
