//! The tenants' networks on this node: isolated layer-2 segments over VXLAN.
//!
//! Everything of the tenants is in one network namespace that the daemon owns
//! and that outlives it. So no rule of the node (firewall, kube-proxy, CNI)
//! sees a tenant's frame, and no frame of a tenant reaches the node's stack.
//! VXLAN devices belong to that namespace, their tunnels to the node's.
//!
//! ```text
//!  QEMU        QEMU          QEMU       descriptors opened by the daemon
//! ──┼───────────┼─────────────┼──────── namespace "suigen" ──────────────
//! st-1a2b3c4d st-5e6f7a8b   st-9c0d1e2f taps: one address each, locked
//!   └──┬────────┘             │         nft: MAC, ARP, IPv4 by tap name
//!   sg-5001                sg-5002      bridges: no address, learn nothing
//!      │                      │
//!   sx-5001                sx-5002      VXLAN: entries told from the API
//! ─────┼──────────────────────┼──────── node's own namespace ────────────
//!      └────── UDP 4789 ──────┘         underlay address, HTB on the uplink
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`desired`] | what to host, made consistent (pure) |
//! | [`topology`] | what the kernel should hold for that (pure) |
//! | [`rules`] | the nft rules and sets as text (pure) |
//! | [`observe`] | reads all that the kernel holds |
//! | [`cache`] | keeps that up to date by what the kernel tells (pure) |
//! | [`scope`] | the part that a change is about (pure) |
//! | [`diff`] | the operations between the two (pure) |
//! | [`apply`] | carries them out |
//! | [`netlink`], [`nft`], [`tap`] | the kernel's interfaces |
//! | [`watch`] | what the kernel tells of changes, whoever makes them |
//! | [`dhcp`] | answers a port's DHCP, at its tap |
//! | [`dataplane`] | puts the parts together |
//! | [`feed`] | says what to host, from the objects of the API |

pub mod apply;
pub mod cache;
pub mod dataplane;
pub mod desired;
pub mod dhcp;
pub mod diff;
pub mod feed;
#[cfg(test)]
mod fixtures;
pub mod ident;
pub mod netlink;
pub mod nft;
pub mod observe;
mod readable;
pub mod rules;
pub mod scope;
pub mod tap;
pub mod topology;
pub mod watch;

pub use dataplane::{Config, DataPlane};
pub use desired::Desired;
