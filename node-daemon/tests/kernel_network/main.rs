//! The data plane on the real kernel, in network namespaces that are gone when
//! the test ends. Needs root, ip, nft and tc.

// Helpers of tests say what went wrong by failing, as tests do.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod capture;
mod feed_node;
mod frames;
mod guest;
mod lab;

mod continuity;
mod dhcp;
mod drift;
mod feed;
mod flood;
mod isolation;
mod node_rules;
mod priority;
mod reach;
mod spoofing;
mod taps;
mod trouble;
