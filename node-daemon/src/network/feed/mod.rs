//! Says what the data plane is to host, from the objects of the API.
//!
//! ```text
//!  watches ──Input──▶ Feed: facts ──compose──▶ Desired ──▶ DataPlane
//!     ▲                 │  │  ▲                              │
//!     │                 │  │  └───────────Report─────────────┘
//!  API ◀──reads, writes─┘  └──▶ desired.json (loaded before the API is asked)
//!          (Asks)
//! ```
//!
//! What is not known is not acted on: nothing is torn down because an object
//! is missing from a list, only because the API server says that this very
//! object does not exist and no process uses it, or that it belongs elsewhere
//! under a higher epoch.
//!
//! | module | what |
//! |---|---|
//! | [`facts`] | what was last heard of ports, networks and tunnel ends (pure) |
//! | [`age`] | what follows from facts as time passes (pure) |
//! | [`compose`] | facts → the data plane's networks (pure) |
//! | [`listing`] | what the watches have named (pure) |
//! | [`state`] | takes inputs, says what it asks of the API (pure) |
//! | [`judge`] | what a report of the data plane means for each port (pure) |
//! | [`store`] | facts on disk |
//! | [`trial`], [`underlay`], `open` | what this node can do, by trying |
//! | `running` | the data plane that runs, and its last word |
//! | [`drive`] | puts the parts together |
//! | [`handle`] | taps for the tasks of servers |

pub mod age;
pub mod compose;
pub mod drive;
pub mod facts;
#[cfg(test)]
mod fixtures;
pub mod handle;
pub mod judge;
pub mod listing;
mod open;
mod running;
pub mod state;
pub mod store;
pub mod trial;
pub mod underlay;

use std::collections::{BTreeMap, BTreeSet};

use suigen_crds::hypervisor::{Feature, Hypervisor, Underlay};
use suigen_crds::ident::Uid;
use suigen_crds::network_port::{NetworkPort, NetworkPortStatus};
use suigen_crds::network_segment::NetworkSegment;
use suigen_crds::tenant_network::TenantNetwork;

use crate::api::watch::Seen;
pub use drive::{Config, Wires, drive};
pub use handle::{Attached, TenantNetworks};

/// Something that was heard from the API.
#[derive(Debug)]
pub enum Input {
    /// Of the ports that are bound to this node.
    Mine(Seen<NetworkPort>),
    /// Of the ports of a namespace.
    Port(String, Seen<NetworkPort>),
    /// Of the networks of a namespace.
    Network(String, Seen<TenantNetwork>),
    /// Of all hypervisors.
    Hypervisor(Seen<Hypervisor>),
    /// Of the segments that are being released.
    Segment(Seen<NetworkSegment>),
    /// A port that was asked for by name: as it is, or that there is none.
    Confirmed(Uid, Option<Box<NetworkPort>>),
}

/// What is asked of the API, as it stands now: whatever is in it is to be done
/// until it is not in it any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// Namespaces whose ports and networks are to be watched.
    pub namespaces: BTreeSet<String>,
    /// Ports that are to be read by name.
    pub confirm: BTreeMap<Uid, Named>,
    /// What is to be said of ports.
    pub reports: BTreeMap<Uid, (Named, NetworkPortStatus)>,
    /// Segments, by name, of which this node has nothing any more.
    pub torn_down: BTreeMap<Uid, String>,
}

/// An object of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Whether this node can host networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ability {
    /// Where its tunnels end, if they can.
    pub underlay: Option<Underlay>,
    /// What it has of what networks need.
    pub features: Vec<Feature>,
}
