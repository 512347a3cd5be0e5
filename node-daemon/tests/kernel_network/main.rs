//! The data plane on the real kernel, in network namespaces that are gone when
//! the test ends. Needs root, ip, nft and tc.

mod capture;
mod frames;
mod guest;
mod lab;

mod dhcp;
mod drift;
mod isolation;
mod node_rules;
mod priority;
mod reach;
mod spoofing;
mod taps;
mod trouble;
