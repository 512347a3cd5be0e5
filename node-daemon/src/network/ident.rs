//! The names of links, and the terms of networks.

use std::fmt;

use suigen_crds::ident::Uid;
pub use suigen_crds::net_ident::{InvalidTerm, MacAddress, Vni};

/// The name of a link in the namespace of the tenants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

impl LinkName {
    /// What the names of all bridges begin with.
    pub const BRIDGE: &'static str = "sg-";
    /// What the names of all taps begin with; the rules match on it.
    pub const TAP: &'static str = "st-";
    /// What the names of all VXLAN devices begin with; the rules match on it.
    pub const VXLAN: &'static str = "sx-";

    /// The bridge of a network.
    #[must_use]
    pub fn bridge(vni: Vni) -> Self {
        Self(format!("{}{vni}", Self::BRIDGE))
    }

    /// The VXLAN device of a network.
    #[must_use]
    pub fn vxlan(vni: Vni) -> Self {
        Self(format!("{}{vni}", Self::VXLAN))
    }

    /// Whether it is the name of a tap.
    #[must_use]
    pub fn is_tap(&self) -> bool {
        self.0.starts_with(Self::TAP)
    }

    /// The network, if it is the name of a bridge or a VXLAN device.
    #[must_use]
    pub fn vni(&self) -> Option<Vni> {
        let number = self.0.strip_prefix(Self::BRIDGE).or(self.0.strip_prefix(Self::VXLAN))?;
        Vni::try_from(number.parse::<u32>().ok()?).ok()
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

    /// `IFNAMSIZ` is 16, the last byte zero.
    #[test]
    fn names_fit_into_the_kernels_field() {
        let vni = Vni::try_from(Vni::MAX).unwrap();
        assert!(LinkName::bridge(vni).as_str().len() < 16);
        assert!(LinkName::vxlan(vni).as_str().len() < 16);
        assert_eq!(LinkName::bridge(vni).vni(), Some(vni));
        assert_eq!(LinkName::vxlan(vni).vni(), Some(vni));
        assert_eq!(LinkName::observed("st-00001000".to_owned()).vni(), None);
    }
}
