//! Which VNI a network is to try, in which order. Pure.

use sha2::{Digest, Sha256};
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::{InvalidTerm, Vni};

/// The VNIs that networks are given, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VniRange {
    first: Vni,
    last: Vni,
}

/// What is no range of VNIs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// An end is no VNI.
    #[error("an end of the range cannot be used")]
    End(#[from] InvalidTerm),
    /// Nothing is in it.
    #[error("the range of VNIs is empty: its first, {first}, is above its last, {last}")]
    Empty {
        /// The first.
        first: Vni,
        /// The last.
        last: Vni,
    },
}

impl VniRange {
    /// The range from one VNI to another.
    ///
    /// # Errors
    /// When an end is no VNI, or the first is above the last.
    pub fn new(first: u32, last: u32) -> Result<Self, InvalidRange> {
        let (first, last) = (Vni::try_from(first)?, Vni::try_from(last)?);
        if first > last {
            return Err(InvalidRange::Empty { first, last });
        }
        Ok(Self { first, last })
    }

    /// The first VNI of it.
    pub const fn first(self) -> Vni {
        self.first
    }

    /// The last VNI of it.
    pub const fn last(self) -> Vni {
        self.last
    }

    /// Every VNI of the range, once: from one that follows from the network's
    /// UID upwards, then from the first on. Networks begin at different places,
    /// so two operators rarely try one VNI for two of them.
    pub fn candidates(self, network: &Uid) -> impl Iterator<Item = Vni> + use<> {
        let (first, last) = (self.first.get(), self.last.get());
        let hash = Sha256::digest(network.as_str().as_bytes());
        let mut head = [0; 8];
        head.copy_from_slice(&hash[..8]);
        let size = u64::from(last - first) + 1;
        let start = first + u32::try_from(u64::from_be_bytes(head) % size).unwrap_or(0);
        (start..=last).chain(first..start).filter_map(|vni| Vni::try_from(vni).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn uid(n: u32) -> Uid {
        format!("00000000-0000-4000-8000-{n:012x}").try_into().unwrap()
    }

    #[test]
    fn every_vni_of_the_range_comes_once() {
        for (first, last) in [(7, 7), (1, 2), (4096, 5000), (Vni::MAX - 10, Vni::MAX)] {
            let range = VniRange::new(first, last).unwrap();
            let all: Vec<_> = range.candidates(&uid(1)).map(Vni::get).collect();
            assert_eq!(all.len(), usize::try_from(last - first).unwrap() + 1);
            assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), (first..=last).collect());
        }
    }

    #[test]
    fn networks_begin_at_different_places_and_always_at_the_same() {
        let range = VniRange::new(4096, Vni::MAX).unwrap();
        let first = |n| range.candidates(&uid(n)).next().unwrap();
        assert_eq!(first(1), first(1));
        let different: BTreeSet<_> = (0..100).map(first).collect();
        assert_eq!(different.len(), 100);
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for (first, last) in [(0, 5), (5, 4), (1, Vni::MAX + 1)] {
            assert!(VniRange::new(first, last).is_err(), "{first}..{last}");
        }
        let said = VniRange::new(5, 4).unwrap_err().to_string();
        assert_eq!(said, "the range of VNIs is empty: its first, 5, is above its last, 4");
    }
}
