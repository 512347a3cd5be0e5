//! The node itself: where things are on it, what it has, what it lacks.
//!
//! | module | what |
//! |---|---|
//! | [`paths`] | where everything is |
//! | [`bundle`] | QEMU bundles on the node |
//! | [`cgroup`] | control groups of servers |
//! | [`facts`] | CPU, memory, disk, boot |
//! | [`qualification`] | whether servers can run here, and what is missing |

pub mod bundle;
pub mod cgroup;
pub mod facts;
mod features;
pub mod paths;
pub mod qualification;
