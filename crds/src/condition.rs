//! Conditions as in Kubernetes' metav1, readable by `kubectl wait` and kstatus.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One aspect of an object's state, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition is about, such as `Ready`.
    #[schemars(length(max = 64))]
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds; `Unknown` when nobody can tell now.
    pub status: Status,
    /// The generation of the object that this was said about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// One word for programs: stable, in CamelCase.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// One or two sentences for people: what is, and what to do about it.
    #[schemars(length(max = 4096))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell.
    #[serde(other)]
    Unknown,
}

/// What is to be said about one condition type; the time comes with [`set`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The condition's type.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: Status,
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// The longest message that is written; the schema admits no more.
pub const MAX_MESSAGE: usize = 4096;

impl Finding {
    /// A finding that the condition holds.
    pub fn yes(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: Status::True, reason, message: message.into() }
    }

    /// A finding that the condition does not hold.
    pub fn no(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: Status::False, reason, message: message.into() }
    }

    /// A finding that nobody can tell.
    pub fn unknown(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: Status::Unknown, reason, message: message.into() }
    }
}

/// Puts findings in the form in which they are stored: `lastTransitionTime` is
/// kept where the status did not change, so that an unchanged state is an
/// unchanged object.
#[must_use]
pub fn conclude(
    findings: Vec<Finding>,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .into_iter()
        .map(|finding| {
            let since = find(before, finding.type_)
                .filter(|old| old.status == finding.status)
                .map_or(Time(now), |old| old.last_transition_time.clone());
            Condition {
                type_: finding.type_.to_owned(),
                status: finding.status,
                observed_generation: generation,
                last_transition_time: since,
                reason: finding.reason.to_owned(),
                message: shorten(finding.message, MAX_MESSAGE),
            }
        })
        .collect()
}

/// Finds a condition by its type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is known to hold.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == Status::True)
}

/// Cuts a text to at most `most` bytes, between characters, with an ellipsis
/// where something is missing.
#[must_use]
pub fn shorten(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first = conclude(vec![Finding::no("Ready", "Waiting", "a")], &[], Some(1), at(1));
        let same = conclude(vec![Finding::no("Ready", "Other", "b")], &first, Some(2), at(2));
        assert_eq!(same[0].last_transition_time, Time(at(1)));
        assert_eq!(same[0].observed_generation, Some(2));
        let flipped = conclude(vec![Finding::yes("Ready", "Up", "c")], &same, Some(2), at(3));
        assert_eq!(flipped[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_at_a_character() {
        let long = "ä".repeat(MAX_MESSAGE);
        let said = conclude(vec![Finding::yes("Ready", "Up", long)], &[], None, at(1));
        assert!(said[0].message.len() <= MAX_MESSAGE);
        assert!(said[0].message.ends_with('…'));
    }
}
