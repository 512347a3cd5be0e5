//! The terms of networks: VNI, MAC address, IPv4 address and prefix.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What is not a term of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerm {
    /// Out of range.
    #[error("{0} is not a VNI: it must be from 1 to 16777215")]
    Vni(u32),
    /// Not six bytes in hexadecimal.
    #[error("{0:?} is not a MAC address: expected six bytes such as 02:00:00:00:00:01")]
    MacSyntax(String),
    /// No interface can own it.
    #[error("{0} cannot be the address of an interface: it is a group's, zero or reserved")]
    MacUse(MacAddress),
    /// Not four numbers.
    #[error("{0:?} is not an IPv4 address such as 10.20.0.10")]
    Address(String),
    /// Not an address with the length of its prefix.
    #[error("{0:?} is not an IPv4 prefix such as 10.20.0.0/24")]
    Cidr(String),
}

impl InvalidTerm {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Vni(_) => "InvalidVni",
            Self::MacSyntax(_) | Self::MacUse(_) => "InvalidMacAddress",
            Self::Address(_) => "InvalidAddress",
            Self::Cidr(_) => "InvalidCidr",
        }
    }
}

/// A VXLAN network identifier (RFC 7348): 24 bits, zero is not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

impl Vni {
    /// The greatest identifier that fits into 24 bits.
    pub const MAX: u32 = 0x00ff_ffff;

    /// The identifier as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vni {
    type Error = InvalidTerm;

    fn try_from(value: u32) -> Result<Self, InvalidTerm> {
        match value {
            1..=Self::MAX => Ok(Self(value)),
            _ => Err(InvalidTerm::Vni(value)),
        }
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Vni {
    fn schema_name() -> Cow<'static, str> {
        "Vni".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": Self::MAX })
    }
}

/// A MAC address, written in lower case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// Stands for "every other" in a VXLAN forwarding table.
    pub const ZERO: Self = Self([0; 6]);
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// The first bytes of all addresses that no tenant may use.
    pub const RESERVED: [u8; 4] = [0x0e, 0x53, 0x55, 0x49];
    /// The address of our bridges, taps and VXLAN devices. All share it, so
    /// that no port of a tenant can be given the address of one of them.
    pub const DEVICE: Self = Self([0x0e, 0x53, 0x55, 0x49, 0x00, 0x00]);
    /// The address that the services at a tap answer from, the same on every
    /// node, so that a guest need not learn it again after a move.
    pub const SERVICE: Self = Self([0x0e, 0x53, 0x55, 0x49, 0x00, 0x01]);

    /// An address as read from the kernel or a frame.
    #[must_use]
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The bytes as on the wire.
    #[must_use]
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// Whether this is the address of a group, broadcast included.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The address, if an interface of a tenant can own it.
    ///
    /// # Errors
    /// For groups, zero and the addresses that our own devices use.
    pub fn for_port(self) -> Result<Self, InvalidTerm> {
        if self.is_group() || self == Self::ZERO || self.0.starts_with(&Self::RESERVED) {
            return Err(InvalidTerm::MacUse(self));
        }
        Ok(self)
    }
}

impl FromStr for MacAddress {
    type Err = InvalidTerm;

    fn from_str(text: &str) -> Result<Self, InvalidTerm> {
        let invalid = || InvalidTerm::MacSyntax(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let hex = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let part = parts.next().filter(hex).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        parts.next().is_none().then_some(Self(bytes)).ok_or_else(invalid)
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidTerm;

    fn try_from(text: String) -> Result<Self, InvalidTerm> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl JsonSchema for MacAddress {
    fn schema_name() -> Cow<'static, str> {
        "MacAddress".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "MAC address", "type": "string", "maxLength": 17, "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$" })
    }
}

/// An IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(pub Ipv4Addr);

impl TryFrom<String> for Address {
    type Error = InvalidTerm;

    fn try_from(text: String) -> Result<Self, InvalidTerm> {
        text.parse().map(Self).map_err(|_| InvalidTerm::Address(text))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The characters of addresses of both families: what is not one of them is
/// refused by the CRD's rules, which can say why.
impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "IPv4 address", "type": "string", "minLength": 2, "maxLength": 45 })
    }
}

/// An IPv4 prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(pub Ipv4Net);

impl TryFrom<String> for Cidr {
    type Error = InvalidTerm;

    fn try_from(text: String) -> Result<Self, InvalidTerm> {
        text.parse().map(Self).map_err(|_| InvalidTerm::Cidr(text))
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As for [`Address`].
impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "IPv4 prefix", "type": "string", "minLength": 4, "maxLength": 49 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_read_as_they_are_written() {
        let mac: MacAddress = "52:54:00:aa:0b:01".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:aa:0b:01");
        for bad in [
            "",
            "52:54:00:aa:0b",
            "52:54:00:aa:0b:01:02",
            "52-54-00-aa-0b-01",
            "5:4:0:a:b:1",
            "+2:00:00:00:00:01",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_interface_owns_a_group_zero_or_one_of_ours() {
        for bad in
            ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "0e:53:55:49:00:07"]
        {
            assert!(bad.parse::<MacAddress>().unwrap().for_port().is_err(), "{bad}");
        }
        assert!("52:54:00:00:00:01".parse::<MacAddress>().unwrap().for_port().is_ok());
    }

    #[test]
    fn a_vni_has_24_bits_and_is_not_zero() {
        assert!(Vni::try_from(0).is_err());
        assert!(Vni::try_from(1 << 24).is_err());
        assert_eq!(Vni::try_from(Vni::MAX).unwrap().get(), 16_777_215);
    }
}
