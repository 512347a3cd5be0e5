//! First boot data: what cloud-init finds on a small disk at each start of a
//! server (data source NoCloud).
//!
//! The guest's files follow from the server ([`files`], pure) and become a FAT
//! file system ([`image`], pure: the same files are the same bytes). User data
//! is in a Secret, which only the operator may read; it is asked for anew at
//! each start ([`fetch`]) and only when the server names one.
//!
//! User data may hold secrets: it has no `Debug` that shows it, it is in no
//! error, and on the node only in the image, which is for root and the server's
//! QEMU and goes when the right to run the server does.

pub mod fetch;
mod files;
mod vfat;

use std::fmt;

use sha2::{Digest as _, Sha256 as Hash};
use suigen_crds::ident::{Sha256, Uid};
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::virtual_server::SshKey;

pub use files::{File, files};
pub use vfat::image;

/// What the first boot data of a server is made from.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The server: a guest that sees another one runs its first boot again.
    pub server: &'a Uid,
    /// Its name, which becomes the host name.
    pub name: &'a str,
    /// Its interfaces.
    pub interfaces: &'a [PlacedInterface],
    /// Keys that are let in for the default user.
    pub keys: &'a [SshKey],
    /// What the tenant wrote for cloud-init.
    pub user_data: Option<UserData>,
}

/// What a tenant wrote for cloud-init; likely with secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData(Vec<u8>);

impl UserData {
    /// Takes it as it is.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({} bytes)", self.0.len())
    }
}

/// A disk image with the files.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    bytes: Vec<u8>,
    digest: Sha256,
}

impl Image {
    /// The image.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the files in it, not of the file system around them.
    #[must_use]
    pub const fn digest(&self) -> &Sha256 {
        &self.digest
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} bytes, {})", self.bytes.len(), self.digest)
    }
}

/// Why there is no first boot data.
#[derive(Debug, thiserror::Error)]
pub enum FirstBootError {
    /// The files do not become a file system.
    #[error("make the disk of first boot data")]
    Image(#[source] std::io::Error),
    /// The digest is none, which cannot be.
    #[error("digest the first boot data")]
    Digest(#[source] suigen_crds::ident::InvalidIdent),
}

impl FirstBootError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Image(_) | Self::Digest(_) => "FirstBootDataFailed",
        }
    }
}

/// The digest of files: names and lengths are in it, so that no two different
/// sets have the same.
fn digest(files: &[File]) -> Result<Sha256, FirstBootError> {
    let mut hash = Hash::new();
    for File { name, content } in files {
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    }
    Sha256::try_from(hex::encode(hash.finalize())).map_err(FirstBootError::Digest)
}
