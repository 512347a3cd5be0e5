//! The MAC address of an interface. Pure.

use suigen_crds::net_ident::MacAddress;

use super::choose::Own;
use super::derive::mac_of;
use super::{Wanted, blocked, waits};
use crate::virtual_server::state::Hurdle;

const FIELD: &str = "macAddress";

/// The address that an interface gets; `before` are those of the server's
/// earlier interfaces in the same network.
///
/// # Errors
/// When somebody else has it.
pub fn choose(own: &Own<'_>, wanted: &Wanted, before: &[MacAddress]) -> Result<MacAddress, Hurdle> {
    let entry = &wanted.entry;
    let derived = || mac_of(own.namespace, &entry.tenant_network_name, own.name, &entry.name);
    let mac = entry.mac_address.unwrap_or_else(derived);
    if let Err(invalid) = mac.for_port() {
        return Err(blocked(entry, FIELD, invalid.reason(), &invalid.to_string()));
    }
    if before.contains(&mac) {
        let text = format!(
            "{mac} is the address of another interface of this server in the same network: create the server with another"
        );
        return Err(blocked(entry, FIELD, "MacAddressTaken", &text));
    }
    free(wanted, mac)?;
    Ok(mac)
}

/// Whether no other server of the network has the address.
///
/// # Errors
/// When one has.
pub fn free(wanted: &Wanted, mac: MacAddress) -> Result<(), Hurdle> {
    let entry = &wanted.entry;
    let Some(server) = wanted.taken.macs.get(&mac) else { return Ok(()) };
    let text = format!(
        "{mac} is in use by server {server} in TenantNetwork {:?}: delete that server, or create this one with another address",
        entry.tenant_network_name
    );
    Err(waits(entry, FIELD, "MacAddressTaken", &text))
}
