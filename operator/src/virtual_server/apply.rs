//! Carries out what was decided on a server, in an order that may be cut off
//! anywhere: the next look goes on from what the API shows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use serde_json::json;
use suigen_crds::disk::Disk;
use suigen_crds::ident::Uid;
use suigen_crds::virtual_server::VirtualServer;
use suigen_crds::{FINALIZER, SERVER_LABEL};

use super::decide::{Attach, Plan};
use super::disks::NewDisk;
use super::observe::{MADE_FOR, Observed};
use crate::context::Context;
use crate::finalizer::Finalizer;
use crate::placement::ledger::{Ledger, Promise};
use crate::write;

/// Notes the room of a placement that is about to be written.
pub fn promise(observed: &Observed, plan: &Plan, ledger: &mut Ledger) {
    let server = &observed.server;
    let uid = server.metadata.uid.clone().and_then(|uid| Uid::try_from(uid).ok());
    if let (Some(uid), Some((placement, amounts))) = (uid, &plan.place) {
        let promise = Promise {
            version: server.resource_version().unwrap_or_default(),
            node: placement.node_name.clone(),
            amounts: *amounts,
            disks: placement.disks.iter().map(|disk| disk.disk_uid.clone()).collect(),
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
    let Plan { finalizer, create, place, attach, detach, unpin, delete, state: _, words: _ } = plan;
    let api = write::api_of(ctx, &*observed.server);
    let disks = Api::<Disk>::namespaced(
        ctx.client.clone(),
        &observed.server.namespace().unwrap_or_default(),
    );
    let mut server = (*observed.server).clone();
    if *finalizer == Finalizer::Add {
        server = write::finalizer(ctx, &api, &server, true).await?;
    }
    for new in create {
        make_disk(&server, new, &disks, ctx).await?;
    }
    match place {
        Some((placement, _)) => {
            let status = json!({ "placement": placement });
            server = write::give_out(ctx, &api, &server, "placement", status).await?;
            ctx.metrics.placements.inc();
        }
        None if plan.waits_for_room() => {
            ctx.metrics.no_room.inc();
        }
        None => {}
    }
    for attach in attach {
        attach_disk(observed, attach, &disks, ctx).await?;
    }
    for disk in observed.held.iter().filter(|disk| detach.contains(&disk.name_any())) {
        let status = json!({ "attachment": null });
        write::give_out(ctx, &disks, &**disk, "detach", status).await?;
    }
    for disk in observed.disks.iter().filter(|wanted| unpin.contains(&wanted.name)) {
        if let Some(disk) = disk.disk.found() {
            let status = json!({ "attachment": null, "nodeName": null });
            write::give_out(ctx, &disks, &**disk, "unpin", status).await?;
        }
    }
    for disk in observed.held.iter().filter(|disk| delete.contains(&disk.name_any())) {
        write::delete(ctx, &disks, &**disk).await?;
    }
    if *finalizer == Finalizer::Lift {
        server = write::finalizer(ctx, &api, &server, false).await?;
        ctx.forget(&server);
    }
    Ok(server)
}

async fn make_disk(
    server: &VirtualServer,
    new: &NewDisk,
    disks: &Api<Disk>,
    ctx: &Context,
) -> Result<(), write::Error> {
    let mut disk = Disk::new(&new.name, new.spec.clone());
    let made_for = server.metadata.uid.clone().unwrap_or_default();
    disk.metadata.namespace = server.namespace();
    disk.metadata.labels = Some(BTreeMap::from([(SERVER_LABEL.to_owned(), server.name_any())]));
    disk.metadata.annotations = Some(BTreeMap::from([(MADE_FOR.to_owned(), made_for)]));
    disk.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    match write::create(ctx, disks, &disk).await {
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
    disks: &Api<Disk>,
    ctx: &Context,
) -> Result<(), write::Error> {
    let wanted = observed.disks.iter().find(|wanted| wanted.name == attach.disk);
    let Some(disk) = wanted.and_then(|wanted| wanted.disk.found()) else { return Ok(()) };
    let status = json!({
        "nodeName": attach.node,
        "attachEpoch": attach.attachment.attach_epoch,
        "attachment": attach.attachment,
    });
    write::give_out(ctx, disks, &**disk, "attachment", status).await?;
    Ok(())
}
