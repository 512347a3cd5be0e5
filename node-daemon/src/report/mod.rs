//! What is written to the API about servers, disks and the node: only what
//! differs from what stands there.

pub mod hypervisor;
pub mod port;
pub mod runtime;
