//! What a look at a port takes in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use suigen_crds::network_port::NetworkPort;
use suigen_crds::network_segment::{NetworkSegment, segment_name};
use suigen_crds::virtual_server::VirtualServer;

use crate::context::Context;
use crate::finalizer::{Deletion, deletion};
use crate::sweep::{Owner, owner, shows, youth};
use crate::watch::lookup::{Lookup, lookup};
use crate::write;

/// A port, and what is known of its server.
#[derive(Debug)]
pub struct Observed {
    /// The object.
    pub port: Arc<NetworkPort>,
    /// What its deletion timestamp means.
    pub deletion: Deletion,
    /// Whether its server is there.
    pub evidence: Evidence,
    /// Its segment, where that does not list the node that the port is bound to.
    pub unlisted: Option<Arc<NetworkSegment>>,
}

/// Whether a port's server is there.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// A store shows it, or it does not matter.
    Enough,
    /// No store shows it, but the port is too young to tell.
    Young(Duration),
    /// As the API server has it.
    Read(Owner),
}

/// Gathers from the stores, and from the API server what they do not show.
///
/// # Errors
/// When the API server does not answer.
pub async fn gather(
    port: Arc<NetworkPort>,
    now: Timestamp,
    ctx: &Context,
) -> Result<Observed, write::Error> {
    let deleting = port.metadata.deletion_timestamp.is_some();
    let terminating = deleting
        && ctx
            .crd_is_terminating("networkports")
            .await
            .map_err(|e| write::Error::of("read the CRD of", write::name_of(&*port), e))?;
    let evidence = if deleting { Evidence::Enough } else { evidence(&port, now, ctx).await? };
    Ok(Observed {
        deletion: deletion(&*port, terminating),
        evidence,
        unlisted: unlisted(&port, ctx),
        port,
    })
}

async fn evidence(
    port: &NetworkPort,
    now: Timestamp,
    ctx: &Context,
) -> Result<Evidence, write::Error> {
    let namespace = port.namespace().unwrap_or_default();
    let spec = &port.spec;
    if shows(&ctx.stores.servers, &namespace, &spec.server_name, &spec.server_uid) {
        return Ok(Evidence::Enough);
    }
    if let Some(left) = youth(&port.metadata, now) {
        return Ok(Evidence::Young(left));
    }
    let owner =
        owner::<VirtualServer>(ctx, &namespace, &spec.server_name, &spec.server_uid).await?;
    Ok(Evidence::Read(owner))
}

/// A segment that was made anew, because somebody deleted it, knows nobody who
/// has the network.
fn unlisted(port: &NetworkPort, ctx: &Context) -> Option<Arc<NetworkSegment>> {
    let node = &port.spec.binding.as_ref()?.node_name;
    let name = segment_name(port.spec.vni);
    let Lookup::Found(segment) = lookup(&ctx.stores.network_segments, &ctx.unreadable, "", &name)
    else {
        return None;
    };
    let listed = segment.status.as_ref().is_some_and(|status| status.hosts.contains(node));
    let ours = segment.spec.network.uid == port.spec.network_uid;
    (ours && !listed && !ctx.written.is_behind(&segment.metadata)).then_some(segment)
}
