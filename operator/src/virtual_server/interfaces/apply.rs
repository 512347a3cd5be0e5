//! Writes claims, segments' hosts and ports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use suigen_crds::address_claim::{AddressClaim, AddressClaimSpec, claim_name};
use suigen_crds::network_port::{NetworkPort, NetworkPortSpec, port_name};
use suigen_crds::network_segment::{NetworkSegment, SegmentPhase, segment_name};
use suigen_crds::tenant_network::TenantNetwork;
use suigen_crds::virtual_server::VirtualServer;
use suigen_crds::{FINALIZER, SERVER_LABEL};

use super::observe::awaited_as;
use super::wiring::{NewHost, PortStep, is_usable};
use crate::context::Context;
use crate::virtual_server::observe::{MADE_FOR, Observed};
use crate::write::{self, Error};

/// Tries at a segment that other servers of the network write at the same time.
const TRIES: usize = 5;

/// Claims an address. One that is claimed for the same port already is as good.
///
/// # Errors
/// When somebody else has it: the next look chooses again.
pub async fn claim(
    server: &VirtualServer,
    spec: &AddressClaimSpec,
    ctx: &Context,
) -> Result<(), Error> {
    let api = Api::<AddressClaim>::namespaced(ctx.client.clone(), &namespace(server));
    let name = claim_name(&spec.tenant_network_name, spec.address);
    let mut claim = AddressClaim::new(&name, spec.clone());
    claim.metadata.namespace = server.namespace();
    claim.metadata.labels = labels(server);
    match write::create(ctx, &api, &claim).await {
        Ok(_) => return Ok(()),
        Err(Error::Exists { .. }) => {}
        Err(error) => return Err(error),
    }
    let there = api.get(&name).await;
    let there = there.map_err(|error| Error::of("read", write::name_of(&claim), error))?;
    if there.spec == *spec && there.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    Err(Error::Conflict { action: "claim", object: write::name_of(&claim) })
}

/// Deletes a claim that the server never uses. While the server has no
/// interfaces, the claim's network is asked for anew: a store may lag behind a
/// network that was made again, and this claim be of the new one.
///
/// # Errors
/// When the API server does not answer.
pub async fn drop_claim(
    server: &VirtualServer,
    claim: &AddressClaim,
    ctx: &Context,
) -> Result<(), Error> {
    if server.status.as_ref().is_none_or(|status| status.interfaces.is_empty()) {
        let api = Api::<TenantNetwork>::namespaced(ctx.client.clone(), &namespace(server));
        let network = api.get_opt(&claim.spec.tenant_network_name).await;
        let network = network
            .map_err(|error| Error::of("read the network of", write::name_of(claim), error))?;
        let uid = network.and_then(|network| network.metadata.uid);
        if uid.as_deref() == Some(claim.spec.network_uid.as_str()) {
            return Ok(());
        }
    }
    free_claim(server, claim, ctx).await
}

/// Deletes a claim.
///
/// # Errors
/// When the API server does not take it.
pub async fn free_claim(
    server: &VirtualServer,
    claim: &AddressClaim,
    ctx: &Context,
) -> Result<(), Error> {
    let api = Api::<AddressClaim>::namespaced(ctx.client.clone(), &namespace(server));
    write::delete(ctx, &api, claim).await
}

/// Notes a node on a segment. Servers of one network that are placed at the
/// same time write the same segment, so a lost race is tried again at once.
///
/// # Errors
/// When the segment is not the network's any more, or the API server does not
/// take it.
pub async fn host(host: &NewHost, ctx: &Context) -> Result<(), Error> {
    let api = Api::<NetworkSegment>::all(ctx.client.clone());
    let name = segment_name(host.vni);
    for _ in 0..TRIES {
        let segment = api.get(&name).await;
        let segment = segment.map_err(|error| Error::of("read", name.clone(), error))?;
        if !is_usable(&segment, &host.network) {
            break;
        }
        let mut hosts = segment.status.clone().unwrap_or_default().hosts;
        if hosts.contains(&host.node) {
            return Ok(());
        }
        hosts.push(host.node.clone());
        let status = json!({ "phase": SegmentPhase::InUse, "hosts": hosts });
        match write::give_out(ctx, &api, &segment, "hosts", status).await {
            Ok(_) => return Ok(()),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Conflict { action: "note a host of", object: name })
}

/// Makes or binds a port.
///
/// # Errors
/// When the API server does not take it.
pub async fn port(observed: &Observed, step: &PortStep, ctx: &Context) -> Result<(), Error> {
    let server = &*observed.server;
    let api = Api::<NetworkPort>::namespaced(ctx.client.clone(), &namespace(server));
    match step {
        PortStep::Create(spec) => create(server, spec, &api, ctx).await,
        PortStep::Bind { interface, binding } => {
            let wanted = observed.interfaces.find(interface);
            let Some(port) = wanted.and_then(|wanted| wanted.port.found()) else { return Ok(()) };
            write::bind(ctx, &api, &**port, json!({ "binding": binding })).await.map(|_| ())
        }
    }
}

async fn create(
    server: &VirtualServer,
    spec: &NetworkPortSpec,
    api: &Api<NetworkPort>,
    ctx: &Context,
) -> Result<(), Error> {
    let name = port_name(&spec.server_name, &spec.interface_name);
    let mut port = NetworkPort::new(&name, spec.clone());
    port.metadata.namespace = server.namespace();
    port.metadata.labels = labels(server);
    let made_for = spec.server_uid.to_string();
    port.metadata.annotations = Some(BTreeMap::from([(MADE_FOR.to_owned(), made_for)]));
    port.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    match write::create(ctx, api, &port).await {
        // The store will show whose it is, and under which epoch.
        Ok(_) | Err(Error::Exists { .. }) => {}
        Err(error) => return Err(error),
    }
    ctx.created.note(&namespace(server), &awaited_as(&name), Timestamp::now());
    Ok(())
}

/// Deletes a port; its own reconciler lets it go when its node has removed it.
///
/// # Errors
/// When the API server does not take it.
pub async fn delete_port(observed: &Observed, name: &str, ctx: &Context) -> Result<(), Error> {
    let uid = observed.server.metadata.uid.as_deref().unwrap_or_default();
    let api = Api::<NetworkPort>::namespaced(ctx.client.clone(), &namespace(&observed.server));
    match observed.interfaces.ports(uid).find(|port| port.name_any() == name) {
        Some(port) => write::delete(ctx, &api, &**port).await,
        None => Ok(()),
    }
}

/// Makes sure that no port of the server is left, whatever a store shows: its
/// addresses are given back only then.
///
/// # Errors
/// When one is left, or the API server does not answer.
pub async fn no_port_is_left(server: &VirtualServer, ctx: &Context) -> Result<(), Error> {
    if server.spec.network_interfaces.is_empty() {
        return Ok(());
    }
    let api = Api::<NetworkPort>::namespaced(ctx.client.clone(), &namespace(server));
    let named = ListParams::default().labels(&format!("{SERVER_LABEL}={}", server.name_any()));
    let ports = api.list(&named).await;
    let ports =
        ports.map_err(|error| Error::of("list the ports of", write::name_of(server), error))?;
    let uid = server.metadata.uid.as_deref().unwrap_or_default();
    if ports.items.iter().any(|port| port.spec.server_uid.as_str() == uid) {
        return Err(Error::Conflict { action: "let go of", object: write::name_of(server) });
    }
    Ok(())
}

fn labels(server: &VirtualServer) -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::from([(SERVER_LABEL.to_owned(), server.name_any())]))
}

fn namespace(server: &VirtualServer) -> String {
    server.namespace().unwrap_or_default()
}
