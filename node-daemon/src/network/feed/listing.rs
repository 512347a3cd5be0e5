//! What a watch has named. Pure.

use std::collections::BTreeSet;

use suigen_crds::ident::Uid;

use crate::api::watch::Seen;

/// The objects of a watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    present: BTreeSet<Uid>,
    /// Those named since the present list began.
    arriving: Option<BTreeSet<Uid>>,
    complete: bool,
}

/// What an event says of the listing.
#[derive(Debug)]
pub enum Change<K> {
    /// Nothing that matters.
    None,
    /// An object as it is now.
    Object(Uid, Box<K>),
    /// An object left.
    Left(Uid),
    /// The list is complete.
    Listed,
}

impl Listing {
    /// Takes an event in.
    pub fn take<K: kube::ResourceExt>(&mut self, seen: Seen<K>) -> Change<K> {
        match seen {
            Seen::Listing => {
                self.arriving = Some(BTreeSet::new());
                Change::None
            }
            Seen::Object(object) => match super::facts::uid(&*object) {
                Some(uid) => {
                    self.note(&uid);
                    Change::Object(uid, object)
                }
                None => Change::None,
            },
            // It is there; what was known of it stands.
            Seen::Malformed { uid } => {
                if let Some(uid) = parse(uid) {
                    self.note(&uid);
                }
                Change::None
            }
            Seen::Left { uid } => parse(uid).map_or(Change::None, |uid| {
                self.present.remove(&uid);
                Change::Left(uid)
            }),
            Seen::Listed => {
                if let Some(arrived) = self.arriving.take() {
                    self.present = arrived;
                }
                self.complete = true;
                Change::Listed
            }
        }
    }

    fn note(&mut self, uid: &Uid) {
        self.present.insert(uid.clone());
        if let Some(arriving) = &mut self.arriving {
            arriving.insert(uid.clone());
        }
    }

    /// Whether everything was listed once.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether an object is there as far as the watch told.
    #[must_use]
    pub fn names(&self, uid: &Uid) -> bool {
        self.present.contains(uid)
    }
}

fn parse(uid: Option<String>) -> Option<Uid> {
    uid.and_then(|uid| Uid::try_from(uid).ok())
}

#[cfg(test)]
mod tests {
    use suigen_crds::network_port::NetworkPort;

    use super::*;
    use crate::network::feed::fixtures::{port, uid};

    fn named(n: u8) -> Seen<NetworkPort> {
        Seen::Object(Box::new(port(n, ("node-a", 1))))
    }

    #[test]
    fn decide_what_left_while_nobody_watched_is_not_named_any_more() {
        let mut listing = Listing::default();
        for seen in [Seen::Listing, named(1), Seen::Listed, named(2)] {
            listing.take(seen);
        }
        assert!(listing.names(&uid(1)) && listing.names(&uid(2)));
        listing.take::<NetworkPort>(Seen::Listing);
        listing.take(named(1));
        // The list is not complete: the other may still come.
        assert!(listing.names(&uid(2)));
        assert!(matches!(listing.take::<NetworkPort>(Seen::Listed), Change::Listed));
        assert!(listing.names(&uid(1)) && !listing.names(&uid(2)));
    }
}
