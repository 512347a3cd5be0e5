//! Carries out what was decided on a server, in an order that may be cut off
//! anywhere: the next look goes on from what the API shows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt};
use serde_json::json;
use suigen_crds::disk::Disk;
use suigen_crds::ident::Uid;
use suigen_crds::virtual_server::VirtualServer;
use suigen_crds::{FINALIZER, SERVER_LABEL};

use super::disks::NewDisk;
use super::interfaces::apply as interfaces;
use super::observe::{MADE_FOR, Observed};
use super::plan::{Attach, NewRight, Plan, Step};
use crate::context::Context;
use crate::placement::ledger::{Ledger, Promise};
use crate::write;

/// Notes what a placement that is about to be written takes.
pub fn promise(observed: &Observed, plan: &Plan, ledger: &mut Ledger) {
    let server = &observed.server;
    let uid = server.metadata.uid.clone().and_then(|uid| Uid::try_from(uid).ok());
    if let (Some(uid), Some(right)) = (uid, &plan.place) {
        let placement = &right.placement;
        let promise = Promise {
            version: server.resource_version().unwrap_or_default(),
            node: placement.node_name.clone(),
            amounts: right.amounts,
            disks: placement.disks.iter().map(|disk| disk.disk_uid.clone()).collect(),
            namespace: server.namespace().unwrap_or_default(),
            server: server.name_any(),
            interfaces: right.interfaces.clone(),
        };
        ledger.promise(uid, promise);
    }
}

/// Carries the plan out. Gives back the server as it is then.
///
/// # Errors
/// At the first thing that the API server does not take.
pub async fn carry_out(
    observed: &Observed,
    plan: &Plan,
    ctx: &Context,
) -> Result<VirtualServer, write::Error> {
    let mut server = (*observed.server).clone();
    for step in plan.steps() {
        if let Some(written) = take(observed, &server, step, ctx).await? {
            server = written;
        }
    }
    if plan.waits_for_room() {
        ctx.metrics.no_room.inc();
    }
    Ok(server)
}

/// Takes one step. Gives back the server if it was written.
async fn take(
    observed: &Observed,
    server: &VirtualServer,
    step: Step<'_>,
    ctx: &Context,
) -> Result<Option<VirtualServer>, write::Error> {
    let api = write::api_of(ctx, server);
    match step {
        Step::Hold => return write::finalizer(ctx, &api, server, true).await.map(Some),
        Step::Place(right) => return give_right(server, right, &api, ctx).await.map(Some),
        Step::LetGo => return let_go(server, &api, ctx).await.map(Some),
        Step::DropClaim(claim) => interfaces::drop_claim(server, claim, ctx).await?,
        Step::Claim(spec) => interfaces::claim(server, spec, ctx).await?,
        Step::Host(host) => interfaces::host(host, ctx).await?,
        Step::Port(port) => interfaces::port(observed, port, ctx).await?,
        Step::DeletePort(name) => interfaces::delete_port(observed, name, ctx).await?,
        Step::NoPortLeft => interfaces::no_port_is_left(server, ctx).await?,
        Step::FreeClaim(claim) => interfaces::free_claim(server, claim, ctx).await?,
        Step::MakeDisk(new) => make_disk(server, new, ctx).await?,
        Step::Attach(attach) => attach_disk(observed, attach, ctx).await?,
        Step::Detach(name) => detach(observed, name, ctx).await?,
        Step::Unpin(name) => unpin(observed, name, ctx).await?,
        Step::DeleteDisk(name) => delete_disk(observed, name, ctx).await?,
    }
    Ok(None)
}

/// Placement and interfaces in one write: neither is ever there without the
/// other.
async fn give_right(
    server: &VirtualServer,
    right: &NewRight,
    api: &Api<VirtualServer>,
    ctx: &Context,
) -> Result<VirtualServer, write::Error> {
    let mut status = json!({ "placement": right.placement });
    if !right.interfaces.is_empty() {
        status["interfaces"] = json!(right.interfaces);
    }
    let written = write::give_out(ctx, api, server, "placement", status).await?;
    ctx.metrics.placements.inc();
    Ok(written)
}

/// Lifts the finalizer, which is the end of the object. The store may show it
/// for a moment longer, and nothing is to be done about that any more.
async fn let_go(
    server: &VirtualServer,
    api: &Api<VirtualServer>,
    ctx: &Context,
) -> Result<VirtualServer, write::Error> {
    let gone = write::finalizer(ctx, api, server, false).await?;
    let last = ObjectMeta {
        uid: server.metadata.uid.clone(),
        resource_version: Some(u64::MAX.to_string()),
        ..ObjectMeta::default()
    };
    ctx.written.note(&last);
    Ok(gone)
}

fn disks_of(server: &VirtualServer, ctx: &Context) -> Api<Disk> {
    Api::namespaced(ctx.client.clone(), &server.namespace().unwrap_or_default())
}

async fn detach(observed: &Observed, name: &str, ctx: &Context) -> Result<(), write::Error> {
    let disks = disks_of(&observed.server, ctx);
    for disk in observed.held.iter().filter(|disk| disk.name_any() == name) {
        write::give_out(ctx, &disks, &**disk, "detach", json!({ "attachment": null })).await?;
    }
    Ok(())
}

async fn unpin(observed: &Observed, name: &str, ctx: &Context) -> Result<(), write::Error> {
    let disks = disks_of(&observed.server, ctx);
    let wanted = observed.disks.iter().find(|wanted| wanted.name == name);
    if let Some(disk) = wanted.and_then(|wanted| wanted.disk.found()) {
        let status = json!({ "attachment": null, "nodeName": null });
        write::give_out(ctx, &disks, &**disk, "unpin", status).await?;
    }
    Ok(())
}

async fn delete_disk(observed: &Observed, name: &str, ctx: &Context) -> Result<(), write::Error> {
    let disks = disks_of(&observed.server, ctx);
    for disk in observed.held.iter().filter(|disk| disk.name_any() == name) {
        write::delete(ctx, &disks, &**disk).await?;
    }
    Ok(())
}

async fn make_disk(
    server: &VirtualServer,
    new: &NewDisk,
    ctx: &Context,
) -> Result<(), write::Error> {
    let mut disk = Disk::new(&new.name, new.spec.clone());
    let made_for = server.metadata.uid.clone().unwrap_or_default();
    disk.metadata.namespace = server.namespace();
    disk.metadata.labels = Some(BTreeMap::from([(SERVER_LABEL.to_owned(), server.name_any())]));
    disk.metadata.annotations = Some(BTreeMap::from([(MADE_FOR.to_owned(), made_for)]));
    disk.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    match write::create(ctx, &disks_of(server, ctx), &disk).await {
        // The store will show whose it is.
        Ok(_) | Err(write::Error::Exists { .. }) => {}
        Err(error) => return Err(error),
    }
    let namespace = server.namespace().unwrap_or_default();
    ctx.created.note(&namespace, &new.name, Timestamp::now());
    Ok(())
}

async fn attach_disk(
    observed: &Observed,
    attach: &Attach,
    ctx: &Context,
) -> Result<(), write::Error> {
    let wanted = observed.disks.iter().find(|wanted| wanted.name == attach.disk);
    let Some(disk) = wanted.and_then(|wanted| wanted.disk.found()) else { return Ok(()) };
    let status = json!({
        "nodeName": attach.node,
        "attachEpoch": attach.attachment.attach_epoch,
        "attachment": attach.attachment,
    });
    write::give_out(ctx, &disks_of(&observed.server, ctx), &**disk, "attachment", status).await?;
    Ok(())
}
