//! What the operator is told on its command line or by its environment.

use std::net::SocketAddr;

use clap::builder::RangedI64ValueParser;
use clap::{Parser, ValueEnum};
use suigen_crds::net_ident::Vni;

/// Suigen's operator: resolves classes, makes disks, places servers, serves consoles.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// Namespace of Suigen's own objects: leases, the certificate authority.
    #[arg(long, env = "SUIGEN_NAMESPACE", default_value = "suigen-system")]
    pub namespace: String,
    /// Name of this replica in the leader lease; in a pod, the pod's name.
    #[arg(long, env = "SUIGEN_IDENTITY")]
    pub identity: String,
    /// Where health and metrics are served, in plain HTTP.
    #[arg(long, env = "SUIGEN_HEALTH_ADDRESS", default_value = "0.0.0.0:8080")]
    pub health_address: SocketAddr,
    /// Where node-daemons and console users are served, in HTTPS.
    #[arg(long, env = "SUIGEN_API_ADDRESS", default_value = "0.0.0.0:8443")]
    pub api_address: SocketAddr,
    /// The least VNI that a TenantNetwork is given.
    #[arg(long, env = "SUIGEN_VNI_FIRST", default_value_t = 4096, value_parser = vni())]
    pub vni_first: u32,
    /// The greatest.
    #[arg(long, env = "SUIGEN_VNI_LAST", default_value_t = Vni::MAX, value_parser = vni())]
    pub vni_last: u32,
    /// How log lines are written.
    #[arg(long, env = "SUIGEN_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// What is logged, in the syntax of `tracing`'s `EnvFilter`.
    #[arg(long, env = "SUIGEN_LOG", default_value = "info")]
    pub log: String,
}

fn vni() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(Vni::MAX))
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
