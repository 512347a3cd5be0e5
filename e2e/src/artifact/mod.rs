//! Everything the lab runs, built from pinned sources and kept by content.

pub mod bundle;
pub mod cache;
pub mod containerfile;
pub mod debian;
pub mod guest_boot;
pub mod guest_debian;
pub mod guest_disk;
pub mod guest_tiny;
pub mod host_packages;
pub mod image;
pub mod layer;
pub mod nft;
pub mod oci;
pub mod rootfs;
mod select;
pub mod set;
pub mod tools;
pub mod workspace;
