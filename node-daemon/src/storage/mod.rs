//! Images and the volumes made from them, as files of this node.
//!
//! | module | what |
//! |---|---|
//! | [`image`] | images: fetched, verified, inspected, removed when unused |
//! | [`volume`] | volumes: a layer over an image; made once, erased once |
//! | [`image_tool`] | `qemu-img` in a jail: images come from outside |

mod download;
pub mod image;
pub mod image_tool;
pub mod room;
pub mod volume;
