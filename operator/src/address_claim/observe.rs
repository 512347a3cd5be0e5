//! What a look at a claim takes in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use suigen_crds::address_claim::AddressClaim;
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;

use crate::context::Context;
use crate::network_port::census::{Seen, ports};
use crate::sweep::{Owner, owner, shows, youth};
use crate::write;

/// A claim, and what is known of who needs it.
#[derive(Debug)]
pub struct Observed {
    /// The object.
    pub claim: Arc<AddressClaim>,
    /// What speaks for and against it.
    pub evidence: Evidence,
}

/// What speaks for and against a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// The stores show its server and network, and nothing against it.
    Enough,
    /// They do not, but it is too young to tell.
    Young(Duration),
    /// As the API server has it.
    Read {
        /// Its server.
        server: Owner,
        /// Its network.
        network: Owner,
        /// The ports of its namespace.
        ports: Vec<Seen>,
    },
}

/// Gathers from the stores, and from the API server what they do not show.
///
/// # Errors
/// When the API server does not answer.
pub async fn gather(
    claim: Arc<AddressClaim>,
    now: Timestamp,
    ctx: &Context,
) -> Result<Observed, write::Error> {
    let evidence = if is_vouched_for(&claim, ctx) {
        Evidence::Enough
    } else if let Some(left) = youth(&claim.metadata, now) {
        Evidence::Young(left)
    } else {
        read(&claim, ctx).await?
    };
    Ok(Observed { claim, evidence })
}

fn is_vouched_for(claim: &AddressClaim, ctx: &Context) -> bool {
    let namespace = claim.namespace().unwrap_or_default();
    let spec = &claim.spec;
    let server = ctx.stores.servers.get(&ObjectRef::new(server_name(claim)).within(&namespace));
    let lives = |server: &VirtualServer| {
        let given = server.status.as_ref().map_or(&[][..], |status| &status.interfaces);
        server.metadata.uid.as_deref() == Some(spec.server_uid.as_str())
            && (given.is_empty() || is_given(claim, given))
    };
    server.is_some_and(|server| lives(&server))
        && shows(
            &ctx.stores.tenant_networks,
            &namespace,
            &spec.tenant_network_name,
            &spec.network_uid,
        )
}

async fn read(claim: &AddressClaim, ctx: &Context) -> Result<Evidence, write::Error> {
    let namespace = claim.namespace().unwrap_or_default();
    let spec = &claim.spec;
    let server =
        owner::<VirtualServer>(ctx, &namespace, server_name(claim), &spec.server_uid).await?;
    let (name, uid) = (&spec.tenant_network_name, &spec.network_uid);
    let network = owner::<TenantNetwork>(ctx, &namespace, name, uid).await?;
    // Last, so that no port can be older than what was read of its owners.
    let ports = ports(ctx, &namespace).await?;
    Ok(Evidence::Read { server, network, ports })
}

/// The name of the server that the claim is for.
fn server_name(claim: &AddressClaim) -> &str {
    claim.spec.port_name.rsplit_once('.').map_or("", |(server, _)| server)
}

/// Whether a server has the claim's address in the claim's network.
pub fn is_given(claim: &AddressClaim, given: &[PlacedInterface]) -> bool {
    given.iter().any(|interface| {
        interface.network_uid == claim.spec.network_uid
            && interface.addresses.contains(&claim.spec.address)
    })
}
