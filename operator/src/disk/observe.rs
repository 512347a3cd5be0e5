//! What a look at a disk takes in.

use std::sync::Arc;

use kube::ResourceExt;
use suigen_crds::condition::{Status, find};
use suigen_crds::disk::Disk;
use suigen_crds::disk_class::DiskClass;
use suigen_crds::server_image::ServerImage;

use crate::context::Context;
use crate::finalizer::{Deletion, deletion};
use crate::watch::lookup::{Lookup, lookup};
use crate::write;

/// A disk and what its spec names.
#[derive(Debug)]
pub struct Observed {
    /// The object.
    pub disk: Arc<Disk>,
    /// What its deletion timestamp means.
    pub deletion: Deletion,
    /// Its class.
    pub class: Lookup<DiskClass>,
    /// Its image, if it names one.
    pub image: Option<Lookup<ServerImage>>,
    /// Whether its hypervisor's daemon is silent.
    pub unreachable: bool,
}

/// Gathers from the stores, and reads the CRD when the disk is being deleted.
///
/// # Errors
/// When the CRD cannot be read.
pub async fn gather(disk: Arc<Disk>, ctx: &Context) -> Result<Observed, write::Error> {
    let deleting = disk.metadata.deletion_timestamp.is_some();
    let terminating = deleting
        && ctx
            .crd_is_terminating("disks")
            .await
            .map_err(|e| write::Error::of("read the CRD of", write::name_of(&*disk), e))?;
    let class = lookup(&ctx.stores.disk_classes, &ctx.unreadable, "", &disk.spec.disk_class_name);
    let image = disk.spec.image().map(|name| lookup(&ctx.stores.images, &ctx.unreadable, "", name));
    Ok(Observed {
        deletion: deletion(&*disk, terminating),
        class,
        image,
        unreachable: is_silent(&disk, ctx),
        disk,
    })
}

fn is_silent(disk: &Disk, ctx: &Context) -> bool {
    let Some(node) = disk.status.as_ref().and_then(|status| status.node_name.as_ref()) else {
        return false;
    };
    let hypervisors = &ctx.stores.hypervisors;
    let found = hypervisors.find(|hypervisor| hypervisor.name_any() == node.as_str());
    let conditions = found
        .as_ref()
        .and_then(|hv| hv.status.as_ref())
        .map_or(&[][..], |status| &status.conditions);
    find(conditions, "Ready").is_none_or(|ready| ready.status == Status::Unknown)
}
