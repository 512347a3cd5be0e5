//! Feeds the data plane from the objects of the API.
pub mod handle;
pub use handle::{Attached, TenantNetworks};
