//! Heartbeats: when each hypervisor's daemon was heard of last.
//!
//! A lease's own time is believed only at first sight; after that a renewal
//! counts from when this process saw it, so that clocks need not agree.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;

/// How long a heartbeat counts when the lease does not say.
const DEFAULT_DURATION: SignedDuration = SignedDuration::from_secs(40);

/// What is known of one daemon's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// There was never one.
    Never,
    /// It is expected again by then.
    Until(Timestamp),
    /// It is overdue, but this process has looked for too short a time to tell:
    /// after an outage of the API server all heartbeats are old. It will know then.
    Doubtful {
        /// When it was heard of last.
        last: Timestamp,
        /// When it is lost unless heard of.
        until: Timestamp,
    },
    /// It was heard of last then, and is overdue.
    Lost(Timestamp),
}

/// How long an old heartbeat is not held against a daemon after this process
/// began to look: two renewals.
const GRACE: SignedDuration = SignedDuration::from_secs(20);

#[derive(Debug, Clone)]
struct Seen {
    first: Timestamp,
    renewed: Option<Timestamp>,
    at: Timestamp,
    holds: SignedDuration,
}

/// When each hypervisor was heard of last.
#[derive(Debug, Default)]
pub struct Heartbeats {
    seen: Mutex<HashMap<String, Seen>>,
}

impl Heartbeats {
    /// Takes note of a lease as it is now.
    pub fn see(&self, node: &str, lease: &Lease, now: Timestamp) {
        let spec = lease.spec.as_ref();
        let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
        let holds = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .map_or(DEFAULT_DURATION, |s| SignedDuration::from_secs(i64::from(s)));
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, at) = match all.get(node) {
            Some(before) if before.renewed == renewed => (before.first, before.at),
            Some(before) => (before.first, now),
            None => (now, renewed.unwrap_or(Timestamp::UNIX_EPOCH).min(now)),
        };
        all.insert(node.to_owned(), Seen { first, renewed, at, holds });
    }

    /// Judges a daemon's heartbeat.
    pub fn of(&self, node: &str, now: Timestamp) -> Heartbeat {
        let all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = all.get(node) else { return Heartbeat::Never };
        let after = |then: Timestamp, time| then.checked_add(time).unwrap_or(Timestamp::MAX);
        let (until, grace) = (after(seen.at, seen.holds), after(seen.first, GRACE));
        if until > now {
            Heartbeat::Until(until)
        } else if grace > now {
            Heartbeat::Doubtful { last: seen.at, until: grace }
        } else {
            Heartbeat::Lost(seen.at)
        }
    }
}

/// The time until then, for a queue.
pub fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default() + Duration::from_millis(200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn lease(renewed: i64) -> Lease {
        let spec = LeaseSpec {
            renew_time: Some(MicroTime(at(renewed))),
            lease_duration_seconds: Some(40),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn at_first_sight_the_lease_is_believed() {
        let heartbeats = Heartbeats::default();
        assert_eq!(heartbeats.of("a", at(100)), Heartbeat::Never);
        heartbeats.see("a", &lease(50), at(100));
        let doubtful = Heartbeat::Doubtful { last: at(50), until: at(120) };
        assert_eq!(heartbeats.of("a", at(100)), doubtful);
        assert_eq!(heartbeats.of("a", at(120)), Heartbeat::Lost(at(50)));
        heartbeats.see("b", &lease(900), at(100));
        assert_eq!(heartbeats.of("b", at(100)), Heartbeat::Until(at(140)), "a clock ahead of ours");
    }

    #[test]
    fn later_a_renewal_counts_from_when_it_was_seen() {
        let heartbeats = Heartbeats::default();
        heartbeats.see("a", &lease(50), at(100));
        heartbeats.see("a", &lease(60), at(110));
        assert_eq!(heartbeats.of("a", at(149)), Heartbeat::Until(at(150)), "a clock behind ours");
        heartbeats.see("a", &lease(60), at(149));
        assert_eq!(heartbeats.of("a", at(150)), Heartbeat::Lost(at(110)), "no renewal");
    }
}
