//! Probes and metrics.

pub mod http;
