//! ServerImage: an operating system to start from.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ident::Sha256;
use crate::quantity::Bytes;

/// Where an image is and how to know it. The whole spec is immutable.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "suigen.dev",
    version = "v1alpha1",
    kind = "ServerImage",
    plural = "serverimages",
    shortname = "simg",
    category = "suigen",
    doc = "A ServerImage is an operating system that a disk starts from. It is fetched by each hypervisor that needs it and verified before its first use. Written by the provider.",
    printcolumn(name = "Format", type_ = "string", json_path = ".spec.format"),
    printcolumn(name = "Firmware", type_ = "string", json_path = ".spec.firmware"),
    printcolumn(name = "Minimum-Disk", type_ = "string", json_path = ".spec.minimumDisk"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message("the name of a ServerImage has at most 63 characters, no dots"),
    validation = Rule::new("self.spec == oldSelf.spec").message("spec of a ServerImage cannot be changed, because disks were made from it: create an image with another name")
)]
#[serde(rename_all = "camelCase")]
pub struct ServerImageSpec {
    /// Where the hypervisors fetch it: an `http` or `https` URL without credentials.
    #[schemars(length(min = 8, max = 2048), regex(pattern = "^https?://[^/@ ]+/[^ ]*$"))]
    pub url: String,
    /// SHA-256 of the file behind the URL, in lower-case hexadecimal. A file
    /// with another digest is never used.
    pub sha256: Sha256,
    /// The format of that file.
    pub format: ImageFormat,
    /// The firmware that the image boots with.
    pub firmware: Firmware,
    /// The smallest disk that the image fits on.
    pub minimum_disk: Bytes,
}

/// The format of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImageFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's copy-on-write format; one that refers to other files is refused.
    Qcow2,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What starts the guest's boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Firmware {
    /// PC BIOS (SeaBIOS).
    Bios,
    /// UEFI (OVMF), without secure boot.
    Uefi,
    /// A value from a newer schema than this program knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
