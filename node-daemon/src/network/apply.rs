//! Carries out a plan. A network that cannot be served does not hold up the
//! others: what depends on a failed operation is left out and tried again with
//! the next plan. Rules that cannot be set stop everything, since a port must
//! not be opened without them.

use std::collections::{BTreeMap, BTreeSet};

use rtnetlink::Handle;

use super::diff::Op;
use super::ident::{LinkName, MacAddress, Vni};
use super::netlink::netns::Namespace;
use super::netlink::{self, fdb, links};
use super::nft::{self, Nft};
use super::tap::{self, NewTap};
use super::topology::{Link, LinkKind};

/// What operations are carried out with.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The node's own namespace, where tunnels start.
    pub host: Handle,
    /// The tenants' namespace.
    pub tenants: Handle,
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

/// Carries out operations in their order. `indices` are the links as observed;
/// they are kept up to date.
pub async fn apply(
    kernel: &Kernel,
    ops: &[Op],
    indices: &mut BTreeMap<LinkName, u32>,
) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    let mut broken: BTreeSet<LinkName> = BTreeSet::new();
    for op in ops {
        if op.needs().iter().any(|link| broken.contains(link) || !indices.contains_key(link)) {
            continue;
        }
        let Err(error) = carry_out(kernel, op, indices).await else { continue };
        tracing::warn!(?op, reason = error.reason(), %error, "operation failed");
        let subject = op.subject();
        if let Subject::Link(name) = &subject {
            broken.insert(name.clone());
        }
        let stop = subject == Subject::Rules;
        failures.push(Failure { subject, error });
        if stop {
            break;
        }
    }
    failures
}

async fn carry_out(
    kernel: &Kernel,
    op: &Op,
    indices: &mut BTreeMap<LinkName, u32>,
) -> Result<(), Error> {
    let tenants = &kernel.tenants;
    match op {
        Op::Rules { batch } => kernel.nft.apply(&kernel.namespace, batch).await?,
        Op::DeleteLink { name } => {
            if let Some(index) = indices.remove(name) {
                links::delete(tenants, name, index).await?;
            }
        }
        Op::CreateLink { name, link } => {
            create(kernel, name, link).await?;
            indices.insert(name.clone(), links::index_of(tenants, name).await?);
        }
        Op::SetOwner { name, owner } => tap::set_owner(&kernel.namespace, name, *owner)?,
        Op::Configure { name, link } => {
            let bridge = link.port.as_ref().and_then(|port| indices.get(&port.bridge));
            links::configure(tenants, name, link, bridge.copied()).await?;
        }
        Op::RemoveBridgeEntry { mac, link, .. } => {
            if let Some(target) = target(indices, link, *mac) {
                fdb::remove_bridge(tenants, target).await?;
            }
        }
        Op::SetBridgeEntry { mac, entry, .. } => {
            if let Some(target) = target(indices, &entry.link, *mac) {
                fdb::set_bridge(tenants, target, entry.origin).await?;
            }
        }
        Op::RemoveTunnel { .. }
        | Op::SetTunnel { .. }
        | Op::RemoveFlood { .. }
        | Op::AddFlood { .. } => tunnels(tenants, op, indices).await?,
    }
    Ok(())
}

async fn tunnels(
    handle: &Handle,
    op: &Op,
    indices: &BTreeMap<LinkName, u32>,
) -> Result<(), netlink::Error> {
    let find = |vni: &Vni, mac| target(indices, &LinkName::vxlan(*vni), mac);
    match op {
        Op::RemoveTunnel { vni, mac, vtep } => match find(vni, *mac) {
            Some(target) => fdb::remove_tunnel(handle, target, *vtep).await,
            None => Ok(()),
        },
        Op::SetTunnel { vni, mac, vtep } => match find(vni, *mac) {
            Some(target) => fdb::set_tunnel(handle, target, *vtep).await,
            None => Ok(()),
        },
        Op::RemoveFlood { vni, vtep } => match find(vni, MacAddress::ZERO) {
            Some(target) => fdb::remove_flood(handle, target.index, *vtep).await,
            None => Ok(()),
        },
        Op::AddFlood { vni, vtep } => match find(vni, MacAddress::ZERO) {
            Some(target) => fdb::add_flood(handle, target.index, *vtep).await,
            None => Ok(()),
        },
        Op::Rules { .. }
        | Op::DeleteLink { .. }
        | Op::CreateLink { .. }
        | Op::SetOwner { .. }
        | Op::Configure { .. }
        | Op::RemoveBridgeEntry { .. }
        | Op::SetBridgeEntry { .. } => Ok(()),
    }
}

fn target(
    indices: &BTreeMap<LinkName, u32>,
    link: &LinkName,
    mac: MacAddress,
) -> Option<fdb::Target> {
    indices.get(link).map(|&index| fdb::Target { index, mac })
}

async fn create(kernel: &Kernel, name: &LinkName, link: &Link) -> Result<(), Error> {
    match &link.kind {
        LinkKind::Bridge(_) => links::create_bridge(&kernel.tenants, name).await?,
        LinkKind::Vxlan { vni, local, port, .. } => {
            let tunnel = (*vni, *local, *port);
            links::create_vxlan(&kernel.host, &kernel.namespace, name, tunnel).await?;
        }
        LinkKind::Tap { owner } => {
            let tap = NewTap::create(&kernel.namespace, name, owner.unwrap_or(0))?;
            links::mark(&kernel.tenants, name).await?;
            // Kept only once it is marked, so that none is left without.
            tap.keep()?;
        }
    }
    Ok(())
}
