//! Words that come from node-daemons and go into conditions.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Reasons of a failure, of a disk or a port, that does not go away by itself.
pub const PERSON_MUST_ACT: &[&str] = &[
    "VolumeMissing",
    "VolumeDamaged",
    "ImageChecksumMismatch",
    "ImageTooLarge",
    "ImageLargerThanDisk",
    "ImageRefersToOtherFiles",
    "ImageUnreadable",
    "ImageFormatUnknown",
    "ForeignLink",
    "TakenBySomebodyElse",
    "KernelFeatureMissing",
    "NftMissing",
];

/// Distinct words that are kept; a daemon has a few dozen.
const MOST_WORDS: usize = 512;

static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// The word itself, as a reason that lives as long as the program; the
/// fallback when it is missing, or no CamelCase word of a sensible length.
pub fn word(said: Option<&str>, fallback: &'static str) -> &'static str {
    let Some(said) = said.filter(|said| is_word(said)) else { return fallback };
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(said) {
        return known;
    }
    if words.len() >= MOST_WORDS {
        return fallback;
    }
    let kept: &'static str = Box::leak(said.to_owned().into_boxed_str());
    words.insert(kept);
    kept
}

fn is_word(said: &str) -> bool {
    said.len() <= 128
        && said.starts_with(|first: char| first.is_ascii_uppercase())
        && said.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_pass() {
        assert_eq!(word(Some("QemuExited"), "Down"), "QemuExited");
        assert_eq!(word(Some("QemuExited"), "Down"), "QemuExited");
        let long = format!("A{}", "a".repeat(200));
        for bad in [None, Some(""), Some("lower"), Some("Two words"), Some(long.as_str())] {
            assert_eq!(word(bad, "Down"), "Down", "{bad:?}");
        }
    }
}
