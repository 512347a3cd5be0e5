//! Scenarios on the system as Helm installs it, on real parts: apply this,
//! wait for that, see this.
//!
//! All share one lab, which the first of them brings up. `fault_` scenarios
//! break what the others stand on and therefore run alone.

mod capture;
mod e2e_aftermath;
mod e2e_catalogue;
mod e2e_console;
mod e2e_first_boot;
mod e2e_images;
mod e2e_isolation;
mod e2e_life;
mod e2e_network;
mod e2e_network_input;
mod e2e_placement;
mod e2e_reach;
mod fault_allocation;
mod fault_api_server;
mod fault_daemon;
mod fault_network;
mod fault_node_state;
mod fault_unreadable;
mod guest;
mod harness;
mod net;
