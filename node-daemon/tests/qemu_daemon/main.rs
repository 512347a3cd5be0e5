//! The deciding half of the daemon with a real QEMU, against an API server in
//! miniature that can go away and that remembers every write.
//!
//! Needs what `qemu_server` needs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod daemon;
mod first_boot;
mod life;
mod operator;
mod trouble;
#[path = "../qemu_server/web.rs"]
#[allow(dead_code)]
mod web;
#[path = "../qemu_server/workshop.rs"]
#[allow(dead_code)]
mod workshop;
