//! The terms of the data plane: VNI, MAC address, names of links.

use std::fmt;
use std::str::FromStr;

use suigen_crds::ident::Uid;

/// A VXLAN network identifier (RFC 7348): 24 bits, zero is not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is not a term of the data plane.
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
}

impl InvalidTerm {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Vni(_) => "InvalidVni",
            Self::MacSyntax(_) | Self::MacUse(_) => "InvalidMacAddress",
        }
    }
}

/// A MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// Stands for "every other" in a VXLAN forwarding table.
    pub const ZERO: Self = Self([0; 6]);
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// The address of our bridges, taps and VXLAN devices. All share it, so
    /// that no port of a tenant can be given the address of one of them.
    pub const DEVICE: Self = Self([0x0e, 0x53, 0x55, 0x49, 0x00, 0x00]);
    /// The address that the services at a tap answer from, the same on every
    /// node, so that a guest need not learn it again after a move.
    pub const SERVICE: Self = Self([0x0e, 0x53, 0x55, 0x49, 0x00, 0x01]);
    /// The first bytes of all addresses that no tenant may use.
    const RESERVED: [u8; 4] = [0x0e, 0x53, 0x55, 0x49];

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
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(invalid()),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The name of a link in the namespace of the tenants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

impl LinkName {
    /// What the names of all taps begin with; the rules match on it.
    pub const TAP: &'static str = "st-";
    /// What the names of all VXLAN devices begin with; the rules match on it.
    pub const VXLAN: &'static str = "sx-";

    /// The bridge of a network.
    #[must_use]
    pub fn bridge(vni: Vni) -> Self {
        Self(format!("sg-{vni}"))
    }

    /// The VXLAN device of a network.
    #[must_use]
    pub fn vxlan(vni: Vni) -> Self {
        Self(format!("{}{vni}", Self::VXLAN))
    }

    /// The tap of a port: the first group of the port's UID, so that one is
    /// found from the other by eye. Two ports with the same group are refused
    /// ([`super::desired::Refusal::TapName`]).
    #[must_use]
    pub fn tap(port: &Uid) -> Self {
        let group: String = port.as_str().chars().take(8).collect();
        Self(format!("{}{group}", Self::TAP))
    }

    /// A name as the kernel gave it.
    #[must_use]
    pub fn observed(name: String) -> Self {
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_six_bytes_in_hexadecimal() {
        for bad in
            ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "2:0:0:0:0:0", "+2:00:00:00:00:zz"]
        {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad:?}");
        }
        let mac: MacAddress = "0A:00:00:00:00:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "0a:00:00:00:00:ff");
    }

    #[test]
    fn no_port_is_given_a_groups_address_or_ours() {
        for bad in ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00"] {
            assert!(bad.parse::<MacAddress>().unwrap().for_port().is_err(), "{bad}");
        }
        assert!(MacAddress::DEVICE.for_port().is_err());
        assert!(MacAddress::SERVICE.for_port().is_err());
    }

    /// `IFNAMSIZ` is 16, the last byte zero.
    #[test]
    fn names_fit_into_the_kernels_field() {
        let vni = Vni::try_from(Vni::MAX).unwrap();
        assert!(LinkName::bridge(vni).as_str().len() < 16);
        assert!(LinkName::vxlan(vni).as_str().len() < 16);
        assert!(Vni::try_from(0).is_err());
        assert!(Vni::try_from(1 << 24).is_err());
    }
}
