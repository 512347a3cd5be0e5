//! The node-daemon: acts on one node. It qualifies the node as a hypervisor,
//! keeps the run right of the servers that are placed there, runs their QEMU
//! and says what it sees.
//!
//! | module | what |
//! |---|---|
//! | [`daemon`] | puts the parts together, in the order in which they may start |
//! | [`right`] | the write-ahead log of run rights, and what a right allows (pure) |
//! | [`vm`] | one task and one queue a server; what may happen when (pure) |
//! | [`disk`] | erases the volumes of deleted Disks |
//! | [`report`] | what is written to the API, and when |
//! | [`api`] | reading, watching and writing the API |
//! | [`hypervisor`], [`host`], [`storage`] | QEMU, QMP, KVM; the node; images and volumes |
//! | [`first_boot`] | the disk of first boot data (cloud-init) |
//! | [`network`] | the tenants' networks: bridges, tunnels, rules, DHCP |
//! | [`console`], [`node_certificate`] | serial consoles over mutual TLS |
//! | [`operator_client`] | requests to the operator's HTTPS server |
//! | [`health`], [`metrics`] | probes and counters |

pub mod api;
pub mod args;
pub mod console;
pub mod daemon;
pub mod disk;
pub mod first_boot;
pub mod health;
pub mod host;
pub mod hypervisor;
pub mod metrics;
pub mod network;
pub mod node_certificate;
pub mod operator_client;
pub mod report;
pub mod right;
pub mod storage;
pub mod vm;
