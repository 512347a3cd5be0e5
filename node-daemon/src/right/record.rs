//! One line of a write-ahead log: a checksum, a number and a word.
//!
//! A line is `<16 hex digits> <JSON>`; the digits are the head of the SHA-256
//! of the JSON. A line that was torn by a crash has no end; one that the disk
//! spoiled later has, and fails its checksum.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use suigen_crds::ident::Epoch;

/// What this node says about its right to run one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Word {
    /// The right was taken: QEMU may be started under it.
    #[serde(rename_all = "camelCase")]
    Held {
        /// The right's number.
        epoch: Epoch,
        /// Namespace of the server, so that it can be read after a restart.
        namespace: String,
        /// Name of the server.
        name: String,
        /// Memory that the server takes from the node, in bytes.
        memory_bytes: i64,
    },
    /// The right was given up: no process runs, the disks are closed.
    Released {
        /// The right's number.
        epoch: Epoch,
    },
    /// A placement was declined; counts as given up.
    Refused {
        /// The placement's number.
        epoch: Epoch,
        /// Why, in one CamelCase word.
        reason: String,
        /// Why, for people.
        message: String,
    },
    /// A word of a newer version. What it promises is not known here, so
    /// nothing may be done with this right.
    #[serde(other)]
    Unknown,
}

/// Why a log cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// A finished line fails its checksum, or is out of order.
    #[error("line {line} is damaged")]
    Damaged {
        /// Counted from 1.
        line: usize,
    },
    /// A line is intact and says what this version does not know.
    #[error("line {line} was written by a newer version")]
    Newer {
        /// Counted from 1.
        line: usize,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    n: usize,
    #[serde(flatten)]
    word: Word,
}

/// The words of a log, and how many bytes of it are whole: what follows was
/// torn by a crash before anything was done on its strength.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The words, oldest first.
    pub words: Vec<Word>,
    /// Length of the intact part, in bytes.
    pub intact: usize,
}

/// Writes a word as line `number`, counted from 1.
///
/// # Errors
/// When the word cannot be written as JSON, which its types rule out.
pub fn encode(number: usize, word: &Word) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(&Line { n: number, word: word.clone() })?;
    Ok(format!("{} {json}\n", checksum(json.as_bytes())))
}

/// Reads a whole log.
///
/// # Errors
/// When a finished line is damaged, or from a newer version.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Corruption> {
    let mut words = Vec::new();
    let mut intact = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        match parse(line).filter(|parsed| parsed.n == number) {
            Some(Line { word: Word::Unknown, .. }) => {
                return Err(Corruption::Newer { line: number });
            }
            Some(parsed) => words.push(parsed.word),
            // Only what was never finished lacks its line end.
            None if !line.ends_with(b"\n") => break,
            None => return Err(Corruption::Damaged { line: number }),
        }
        intact += line.len();
    }
    Ok(Decoded { words, intact })
}

fn parse(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, json) = text.split_once(' ')?;
    if sum != checksum(json.as_bytes()) {
        return None;
    }
    serde_json::from_str(json).ok()
}

fn checksum(json: &[u8]) -> String {
    hex::encode(&Sha256::digest(json)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = Word> {
        let epoch = any::<i64>().prop_map(Epoch);
        prop_oneof![
            (epoch.clone(), ".*", ".*", any::<i64>()).prop_map(
                |(epoch, namespace, name, memory_bytes)| Word::Held {
                    epoch,
                    namespace,
                    name,
                    memory_bytes
                }
            ),
            epoch.clone().prop_map(|epoch| Word::Released { epoch }),
            (epoch, ".*", ".*").prop_map(|(epoch, reason, message)| Word::Refused {
                epoch,
                reason,
                message
            }),
        ]
    }

    fn encoded(words: &[Word]) -> Vec<String> {
        words.iter().enumerate().map(|(i, word)| encode(i + 1, word).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(words in proptest::collection::vec(word(), 0..6)) {
            let bytes = encoded(&words).concat().into_bytes();
            let intact = bytes.len();
            prop_assert_eq!(decode(&bytes), Ok(Decoded { words, intact }));
        }

        #[test]
        fn a_torn_end_loses_only_the_last_word(
            words in proptest::collection::vec(word(), 1..6),
            cut in 1_usize..4000,
        ) {
            let lines = encoded(&words);
            let whole = lines.concat().into_bytes();
            let last = lines[lines.len() - 1].len();
            let torn = &whole[..whole.len() - cut.min(last)];
            let read = decode(torn).unwrap();
            prop_assert_eq!(&read.words[..], &words[..words.len() - 1]);
            prop_assert_eq!(read.intact, whole.len() - last);
        }

        #[test]
        fn a_flipped_bit_is_never_read_as_another_word(
            words in proptest::collection::vec(word(), 1..5),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let mut bytes = encoded(&words).concat().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            match decode(&bytes) {
                Ok(read) => prop_assert_eq!(&read.words[..], &words[..words.len() - 1]),
                Err(Corruption::Damaged { .. }) => {}
                Err(newer @ Corruption::Newer { .. }) => prop_assert!(false, "{newer}"),
            }
        }
    }

    #[test]
    fn a_word_of_a_newer_version_is_not_skipped() {
        let json = r#"{"n":1,"word":"OFFERED","job":"x"}"#;
        let line = format!("{} {json}\n", checksum(json.as_bytes()));
        assert_eq!(decode(line.as_bytes()), Err(Corruption::Newer { line: 1 }));
    }

    #[test]
    fn a_lost_line_end_is_damage_and_no_torn_write() {
        let lines =
            encoded(&[Word::Released { epoch: Epoch(1) }, Word::Released { epoch: Epoch(2) }]);
        let merged = lines.concat().replacen('\n', " ", 1);
        assert_eq!(decode(merged.as_bytes()), Err(Corruption::Damaged { line: 1 }));
    }

    #[test]
    fn a_line_that_was_moved_is_damage() {
        let held = |e| Word::Released { epoch: Epoch(e) };
        let lines = encoded(&[held(1), held(2), held(3)]);
        let swapped = [lines[1].as_str(), &lines[0], &lines[2]].concat();
        assert_eq!(decode(swapped.as_bytes()), Err(Corruption::Damaged { line: 1 }));
    }
}
