//! Leader election: one replica decides at a time.
//!
//! A pure [`evaluate`] and a loop around it. Clocks of different machines are
//! never compared: a lease counts as expired when *this* process has seen it
//! unchanged for its whole duration. A leader that could not renew in time
//! gives up before another may take over, and its process ends.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;

/// Name of the leader lease.
pub const LEASE_NAME: &str = "suigen-operator";
/// How long a lease holds without a renewal.
const DURATION: Duration = Duration::from_secs(15);
/// How long a leader goes on without a successful renewal.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often the leader renews.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a standby looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for one answer of the API server.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// Why the lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("{action} lease {LEASE_NAME}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("{0} lease {LEASE_NAME}: no answer in time")]
    Timeout(&'static str),
}

/// What a look at the lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is none: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is given up or expired: take it over.
    TakeOver,
    /// Another holds it.
    Stand,
}

/// Judges the lease, given for how long this process has seen it unchanged.
pub fn evaluate(lease: Option<&LeaseSpec>, me: &str, unchanged: Duration) -> Verdict {
    let Some(spec) = lease else { return Verdict::Create };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
    let duration = seconds.map_or(DURATION, Duration::from_secs);
    if holder == me {
        Verdict::Renew
    } else if holder.is_empty() || unchanged >= duration {
        Verdict::TakeOver
    } else {
        Verdict::Stand
    }
}

/// This replica's part in the election.
pub struct Election {
    api: Api<Lease>,
    me: String,
    seen: Option<(String, Instant)>,
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Election").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Election {
    /// Takes part under the name `me`.
    pub fn new(client: Client, namespace: &str, me: String) -> Self {
        Self { api: Api::namespaced(client, namespace), me, seen: None }
    }

    /// Waits until this replica leads. False when told to stop before.
    pub async fn win(&mut self, stop: &CancellationToken) -> bool {
        loop {
            match self.step().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = %Chain(&error), "look at the leader lease"),
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Renews until told to stop (true), or until the lease is lost (false).
    pub async fn hold(&mut self, stop: &CancellationToken) -> bool {
        let mut renewed = Instant::now();
        loop {
            let pause = if renewed.elapsed() < RENEW_EVERY { RENEW_EVERY } else { LOOK_EVERY };
            tokio::select! {
                () = stop.cancelled() => return true,
                () = tokio::time::sleep(pause) => {}
            }
            let began = Instant::now();
            match self.step().await {
                Ok(true) => renewed = began,
                // A conflict may be our own late write: the second look tells.
                Ok(false) if matches!(self.step().await, Ok(true)) => renewed = began,
                Ok(false) => return false,
                Err(error) => tracing::warn!(error = %Chain(&error), "renew the leader lease"),
            }
            if renewed.elapsed() + LOOK_EVERY > DEADLINE {
                return false;
            }
        }
    }

    /// Gives the lease up, so that the next leader need not wait.
    ///
    /// # Errors
    /// When the API server does not take it; the lease then runs out by itself.
    pub async fn release(&mut self) -> Result<(), Error> {
        let Some(mut lease) = self.read().await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.me.as_str()) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        self.write(lease, "release").await.map(|_| ())
    }

    async fn step(&mut self) -> Result<bool, Error> {
        let lease = self.read().await?;
        let unchanged = self.look(lease.as_ref());
        match evaluate(lease.as_ref().and_then(|l| l.spec.as_ref()), &self.me, unchanged) {
            Verdict::Create => self.create().await,
            Verdict::Renew => self.take(lease.unwrap_or_default(), false).await,
            Verdict::TakeOver => self.take(lease.unwrap_or_default(), true).await,
            Verdict::Stand => Ok(false),
        }
    }

    fn look(&mut self, lease: Option<&Lease>) -> Duration {
        let version = lease.and_then(|l| l.metadata.resource_version.clone()).unwrap_or_default();
        match &self.seen {
            Some((seen, at)) if *seen == version => at.elapsed(),
            _ => {
                self.seen = Some((version, Instant::now()));
                Duration::ZERO
            }
        }
    }

    async fn create(&self) -> Result<bool, Error> {
        let now = MicroTime(Timestamp::now());
        let lease = Lease {
            metadata: ObjectMeta { name: Some(LEASE_NAME.into()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.me.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        };
        let params = PostParams::default();
        won(within("create", self.api.create(&params, &lease)).await)
    }

    async fn take(&self, mut lease: Lease, anew: bool) -> Result<bool, Error> {
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        spec.renew_time = Some(now.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        if anew {
            spec.holder_identity = Some(self.me.clone());
            spec.acquire_time = Some(now);
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        won(self.write(lease, "renew").await)
    }

    async fn write(&self, lease: Lease, action: &'static str) -> Result<Lease, Error> {
        let params = PostParams::default();
        within(action, self.api.replace(LEASE_NAME, &params, &lease)).await
    }

    async fn read(&self) -> Result<Option<Lease>, Error> {
        within("read", self.api.get_opt(LEASE_NAME)).await
    }
}

/// Somebody else was quicker: no error, but no lease either.
fn won(written: Result<Lease, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 409) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn within<T>(
    action: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|source| Error::Api { action, source: Box::new(source) }),
        Err(_) => Err(Error::Timeout(action)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(by: Option<&str>, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: by.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn decide_over_every_holder_and_age() {
        let short = Duration::from_secs(14);
        let long = Duration::from_secs(15);
        let cases = [
            (None, short, Verdict::Create),
            (None, long, Verdict::Create),
            (Some(held(Some("me"), Some(15))), short, Verdict::Renew),
            (Some(held(Some("me"), Some(15))), long, Verdict::Renew),
            (Some(held(Some("me"), None)), long, Verdict::Renew),
            (Some(held(Some("other"), Some(15))), Duration::ZERO, Verdict::Stand),
            (Some(held(Some("other"), Some(15))), short, Verdict::Stand),
            (Some(held(Some("other"), Some(15))), long, Verdict::TakeOver),
            (Some(held(Some("other"), Some(60))), long, Verdict::Stand),
            (Some(held(Some("other"), Some(-1))), short, Verdict::Stand),
            (Some(held(Some("other"), None)), short, Verdict::Stand),
            (Some(held(Some("other"), None)), long, Verdict::TakeOver),
            (Some(held(Some(""), Some(15))), Duration::ZERO, Verdict::TakeOver),
            (Some(held(None, Some(15))), Duration::ZERO, Verdict::TakeOver),
            (Some(held(None, None)), long, Verdict::TakeOver),
        ];
        for (lease, unchanged, verdict) in cases {
            assert_eq!(
                evaluate(lease.as_ref(), "me", unchanged),
                verdict,
                "{lease:?} {unchanged:?}"
            );
        }
    }

    #[test]
    fn a_leader_gives_up_before_another_may_take_over() {
        let slowest_failure = RENEW_EVERY + 2 * CALL_TIMEOUT;
        assert!(slowest_failure.max(DEADLINE) < DURATION);
        assert!(slowest_failure + LOOK_EVERY > DEADLINE, "it gives up after that failure");
    }
}
