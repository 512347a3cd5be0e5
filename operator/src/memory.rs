//! What the operator remembers between two looks at an object. Losing it costs
//! a write or a moment, never a decision.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use suigen_crds::ident::{Epoch, NodeName};
use suigen_crds::virtual_server::Runtime;

type Table<V> = Mutex<HashMap<String, V>>;

fn lock<V>(table: &Table<V>) -> MutexGuard<'_, HashMap<String, V>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The resourceVersions of own writes: an object that a store still shows at
/// an older one is not decided on, because the decision was already made.
#[derive(Debug, Default)]
pub struct Written {
    versions: Table<u64>,
}

impl Written {
    /// Notes what a write came back with.
    pub fn note(&self, meta: &ObjectMeta) {
        if let (Some(uid), Some(version)) = (&meta.uid, version(meta)) {
            let mut versions = lock(&self.versions);
            let known = versions.entry(uid.clone()).or_default();
            *known = version.max(*known);
        }
    }

    /// Whether the store still shows an object as it was before our last write.
    pub fn is_behind(&self, meta: &ObjectMeta) -> bool {
        let Some((uid, shown)) = meta.uid.as_ref().zip(version(meta)) else { return false };
        let mut versions = lock(&self.versions);
        match versions.get(uid) {
            Some(written) if shown < *written => true,
            Some(_) => {
                versions.remove(uid);
                false
            }
            None => false,
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.versions).remove(uid);
    }
}

/// Resource versions of one kind are ordered integers (Kubernetes 1.35, KEP 5504).
fn version(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_deref()?.parse().ok()
}

/// Objects that were made, by namespace and name, until a store shows them: a
/// store that does not is no reason to make them again.
#[derive(Debug, Default)]
pub struct Created {
    at: Mutex<HashMap<(String, String), Timestamp>>,
}

/// How long a store may take to show an object; after that it is asked for anew.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_secs(10);

impl Created {
    /// Notes an object that was made.
    pub fn note(&self, namespace: &str, name: &str, now: Timestamp) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.retain(|_, made| now.duration_since(*made) < SHOWN_WITHIN);
        at.insert((namespace.to_owned(), name.to_owned()), now);
    }

    /// Whether an object that a store does not show was made just now.
    pub fn is_awaited(&self, namespace: &str, name: &str, now: Timestamp) -> bool {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.get(&(namespace.to_owned(), name.to_owned()))
            .is_some_and(|made| now.duration_since(*made) < SHOWN_WITHIN)
    }
}

/// Since when a status write is put off, because it says only that work goes
/// on and will soon be overtaken.
#[derive(Debug, Default)]
pub struct Patience {
    since: Table<Timestamp>,
}

/// For how long such a write is put off.
pub const PATIENCE: SignedDuration = SignedDuration::from_millis(1500);

impl Patience {
    /// How much longer to wait; none when the time is over.
    pub fn left(&self, uid: &str, now: Timestamp) -> Option<Duration> {
        let mut since = lock(&self.since);
        let began = *since.entry(uid.to_owned()).or_insert(now);
        let left = PATIENCE.checked_sub(now.duration_since(began))?;
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Starts anew with the next difference.
    pub fn forget(&self, uid: &str) {
        lock(&self.since).remove(uid);
    }
}

/// When counts that change with every server were written last, so that a
/// burst of servers costs a write now and then.
#[derive(Debug, Default)]
pub struct Pace {
    at: Table<Beat>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Beat {
    written: Option<Timestamp>,
    differs_since: Option<Timestamp>,
}

/// The least time between two writes of counts.
const BETWEEN: SignedDuration = SignedDuration::from_secs(10);
/// How long a first difference is kept, because others follow it.
const GATHERED: SignedDuration = SignedDuration::from_secs(2);

impl Pace {
    /// How much longer to keep a difference; none when it is to be written.
    pub fn left(&self, uid: &str, now: Timestamp) -> Option<Duration> {
        let mut at = lock(&self.at);
        let beat = at.entry(uid.to_owned()).or_default();
        let since = *beat.differs_since.get_or_insert(now);
        let left = |from: Timestamp, time: SignedDuration| time - now.duration_since(from);
        let rest = beat.written.map_or(SignedDuration::ZERO, |written| left(written, BETWEEN));
        Duration::try_from(rest.max(left(since, GATHERED))).ok().filter(|left| !left.is_zero())
    }

    /// Notes a write.
    pub fn written(&self, uid: &str, now: Timestamp) {
        let beat = Beat { written: Some(now), differs_since: None };
        lock(&self.at).insert(uid.to_owned(), beat);
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.at).remove(uid);
    }
}

/// Which hypervisors refused which server, and until when they are avoided.
#[derive(Debug, Default)]
pub struct Refusals {
    refused: Table<Vec<Refusal>>,
}

/// One hypervisor's refusal of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The hypervisor.
    pub node: NodeName,
    /// The epoch that it refused.
    pub epoch: Epoch,
    /// What it said.
    pub said: String,
    /// How often in a row.
    pub times: u32,
    /// Until when it is not asked again.
    pub until: Timestamp,
}

/// The first pause after a refusal; it doubles up to eight times this.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

impl Refusals {
    /// Notes a refusal; the same one again changes nothing.
    pub fn note(&self, uid: &str, refused: &Runtime, now: Timestamp) {
        let mut all = lock(&self.refused);
        let of_server = all.entry(uid.to_owned()).or_default();
        let before = of_server.iter().position(|refusal| refusal.node == refused.node_name);
        let times = match before.map(|index| &of_server[index]) {
            Some(refusal) if refusal.epoch >= refused.epoch => return,
            Some(refusal) => refusal.times.saturating_add(1),
            None => 1,
        };
        if let Some(index) = before {
            of_server.remove(index);
        }
        let pause = FIRST_PAUSE * (1 << (times - 1).min(3));
        let said = refused.message.as_deref().or(refused.reason.as_deref());
        of_server.push(Refusal {
            node: refused.node_name.clone(),
            epoch: refused.epoch,
            said: said.unwrap_or("no reason given").to_owned(),
            times,
            until: now.checked_add(pause).unwrap_or(Timestamp::MAX),
        });
    }

    /// Refusals that are not over.
    pub fn pending(&self, uid: &str, now: Timestamp) -> Vec<Refusal> {
        let refused = lock(&self.refused);
        let of_server = refused.get(uid).map_or(&[][..], Vec::as_slice);
        of_server.iter().filter(|refusal| refusal.until > now).cloned().collect()
    }

    /// Forgets a server that runs, or is gone.
    pub fn forget(&self, uid: &str) {
        lock(&self.refused).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(version: &str) -> ObjectMeta {
        ObjectMeta {
            uid: Some("u".into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_store_is_behind_until_it_shows_our_write() {
        let written = Written::default();
        assert!(!written.is_behind(&meta("5")));
        written.note(&meta("10"));
        written.note(&meta("9"));
        assert!(written.is_behind(&meta("9")));
        assert!(!written.is_behind(&meta("10")));
        assert!(!written.is_behind(&meta("9")), "forgotten once seen");
    }

    #[test]
    fn what_was_made_is_awaited_for_a_while() {
        let created = Created::default();
        assert!(!created.is_awaited("acme", "web-root", at(0)));
        created.note("acme", "web-root", at(0));
        assert!(created.is_awaited("acme", "web-root", at(9)));
        assert!(!created.is_awaited("acme", "web-root", at(10)));
        created.note("acme", "other", at(20));
        assert!(!created.is_awaited("acme", "web-root", at(1)), "kept no longer than of use");
    }

    #[test]
    fn patience_ends_whatever_comes_in_between() {
        let patience = Patience::default();
        assert!(patience.left("u", at(0)).is_some());
        assert!(patience.left("u", at(1)).is_some());
        assert!(patience.left("u", at(2)).is_none());
        patience.forget("u");
        assert!(patience.left("u", at(3)).is_some());
    }

    #[test]
    fn counts_are_gathered_and_written_now_and_then() {
        let pace = Pace::default();
        assert_eq!(pace.left("u", at(0)), Some(Duration::from_secs(2)));
        assert_eq!(pace.left("u", at(1)), Some(Duration::from_secs(1)));
        assert_eq!(pace.left("u", at(2)), None);
        pace.written("u", at(2));
        assert_eq!(pace.left("u", at(3)), Some(Duration::from_secs(9)));
        assert_eq!(pace.left("u", at(12)), None);
        pace.written("u", at(12));
        assert_eq!(pace.left("u", at(90)), Some(Duration::from_secs(2)), "first of many");
    }

    #[test]
    fn each_refusal_of_a_higher_epoch_doubles_the_pause() {
        let refusals = Refusals::default();
        let refused = |epoch| {
            let status = crate::fixtures::server(crate::fixtures::said(epoch, "Refused")).status;
            status.unwrap().runtime.unwrap()
        };
        refusals.note("u", &refused(1), at(0));
        refusals.note("u", &refused(1), at(20));
        assert_eq!(refusals.pending("u", at(29)).len(), 1);
        assert!(refusals.pending("u", at(30)).is_empty());
        refusals.note("u", &refused(2), at(30));
        assert_eq!(refusals.pending("u", at(30))[0].until, at(90));
        for epoch in 3..20 {
            refusals.note("u", &refused(epoch), at(100));
        }
        assert_eq!(refusals.pending("u", at(100))[0].until, at(340));
    }
}
