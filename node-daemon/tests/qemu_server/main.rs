//! A real QEMU of the bundle, in its jail, with the guest `tiny`.
//!
//! `SUIGEN_TEST_BUNDLE` is a bundle's directory, `SUIGEN_TEST_TINY` the guest's
//! disk image; without them these tests say that they skip, and fail where `CI`
//! is `true`. Needs root.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../kernel_network/capture.rs"]
#[allow(dead_code)]
mod capture;
mod images;
mod interfaces;
mod jail;
mod lab;
mod life;
mod schema;
mod web;
mod workshop;
