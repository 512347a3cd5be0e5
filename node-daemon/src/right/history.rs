//! What the words of one server's log amount to.

use suigen_crds::ident::Epoch;

use super::record::Word;

/// A right that was taken and not given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The right's number.
    pub epoch: Epoch,
    /// Namespace of the server.
    pub namespace: String,
    /// Name of the server.
    pub name: String,
    /// Memory that the server takes from the node, in bytes.
    pub memory_bytes: i64,
}

/// A placement that was declined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The placement's number.
    pub epoch: Epoch,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// The sum of a log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History {
    /// The right that is held now.
    pub held: Option<Held>,
    /// The highest epoch that was given up, by release or refusal.
    pub given_up: Option<Epoch>,
    /// The last refusal.
    pub refused: Option<Refusal>,
    /// The highest epoch that any word names.
    pub highest: Option<Epoch>,
}

impl History {
    /// Sums up a log, oldest word first.
    #[must_use]
    pub fn of(words: &[Word]) -> Self {
        let mut history = Self::default();
        for word in words {
            history.add(word);
        }
        history
    }

    /// Adds the next word.
    pub fn add(&mut self, word: &Word) {
        let epoch = match word {
            Word::Held { epoch, namespace, name, memory_bytes } => {
                self.held = Some(Held {
                    epoch: *epoch,
                    namespace: namespace.clone(),
                    name: name.clone(),
                    memory_bytes: *memory_bytes,
                });
                *epoch
            }
            Word::Released { epoch } => {
                self.give_up(*epoch);
                *epoch
            }
            Word::Refused { epoch, reason, message } => {
                self.give_up(*epoch);
                self.refused = Some(Refusal {
                    epoch: *epoch,
                    reason: reason.clone(),
                    message: message.clone(),
                });
                *epoch
            }
            Word::Unknown => return,
        };
        self.highest = self.highest.max(Some(epoch));
    }

    fn give_up(&mut self, epoch: Epoch) {
        self.given_up = self.given_up.max(Some(epoch));
        if self.held.as_ref().is_some_and(|held| held.epoch <= epoch) {
            self.held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(epoch: i64) -> Word {
        Word::Held {
            epoch: Epoch(epoch),
            namespace: "acme".into(),
            name: "web".into(),
            memory_bytes: 1,
        }
    }

    #[test]
    fn a_release_ends_what_was_held_and_nothing_later() {
        let released = Word::Released { epoch: Epoch(1) };
        let history = History::of(&[held(1), released.clone()]);
        assert_eq!(history.held, None);
        assert_eq!(history.given_up, Some(Epoch(1)));
        let again = History::of(&[held(2), released]);
        assert_eq!(again.held.map(|held| held.epoch), Some(Epoch(2)));
        assert_eq!(again.highest, Some(Epoch(2)));
    }

    #[test]
    fn a_refusal_counts_as_given_up() {
        let refused =
            Word::Refused { epoch: Epoch(4), reason: "DoesNotFit".into(), message: "m".into() };
        let history = History::of(&[held(3), refused]);
        assert_eq!((history.held, history.given_up), (None, Some(Epoch(4))));
    }
}
