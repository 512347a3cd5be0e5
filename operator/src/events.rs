//! Events: what changed, for people; never the same twice in a row.

use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use suigen_crds::condition::{Condition, Finding, Status, conclude, find};
use suigen_crds::virtual_server::VirtualServer;

use crate::context::{Context, MANAGER};
use crate::metrics::count;

/// One thing to be said about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Whether a person should look.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub note: String,
}

impl Announcement {
    /// In the form of Kubernetes. Notes longer than 1 kB are refused there.
    pub fn event(&self) -> Event {
        let note = self.note.chars().take(250).collect();
        Event {
            type_: if self.warning { EventType::Warning } else { EventType::Normal },
            reason: self.reason.clone(),
            note: Some(note),
            action: "Reconcile".into(),
            secondary: None,
        }
    }
}

/// A condition type that is worth an event.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Its name.
    pub type_: &'static str,
    /// What it says when all is well.
    pub good: Status,
    /// Whether each new reason for not being well is news, also at first sight.
    pub loud: bool,
}

impl Told {
    /// News when it becomes well, or is so no more.
    pub const fn flips(type_: &'static str, good: Status) -> Self {
        Self { type_, good, loud: false }
    }
}

/// What changed between two sets of conditions that is worth an event.
pub fn between(before: &[Condition], after: &[Condition], told: &[Told]) -> Vec<Announcement> {
    let news = |told: &Told| {
        let now = find(after, told.type_)?;
        let is_news = match find(before, told.type_) {
            None => now.status == Status::True || (told.loud && now.status != told.good),
            Some(then) if then.status != now.status => true,
            Some(then) => told.loud && now.status != told.good && then.reason != now.reason,
        };
        is_news.then(|| Announcement {
            warning: now.status != told.good,
            reason: now.reason.clone(),
            note: now.message.clone(),
        })
    };
    told.iter().filter_map(news).collect()
}

/// Says on an object that cannot be read that it cannot be read: an event,
/// and where the API server takes it, a condition.
pub async fn unreadable(ctx: &Context, kind: &'static str, raw: &DynamicObject, why: &str) {
    let message = format!(
        "the operator cannot read this object ({why}): correct it, or install the release that wrote it"
    );
    let resource = ApiResource::erase::<VirtualServer>(&());
    let reference = raw.object_ref(&ApiResource { kind: kind.into(), ..resource.clone() });
    let said = Announcement { warning: true, reason: "Unreadable".into(), note: message.clone() };
    ctx.announce(reference, vec![said]);
    if kind == "VirtualServer"
        && let Err(error) = mark(ctx, raw, &resource, message).await
    {
        count(&ctx.metrics.failures, kind, "UnreadableNotMarked");
        tracing::debug!(%error, "mark an unreadable object");
    }
}

async fn mark(
    ctx: &Context,
    raw: &DynamicObject,
    resource: &ApiResource,
    message: String,
) -> kube::Result<()> {
    let findings = vec![
        Finding::unknown("Ready", "Unreadable", message.clone()),
        Finding::yes("Stalled", "Unreadable", message),
    ];
    let conditions = conclude(findings, &[], raw.metadata.generation, jiff::Timestamp::now());
    let namespace = raw.namespace().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(ctx.client.clone(), &namespace, resource);
    let body = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": { "name": raw.name_any(), "uid": raw.metadata.uid },
        "status": { "conditions": conditions },
    });
    let params = PatchParams::apply(MANAGER).force();
    api.patch_status(&raw.name_any(), &params, &Patch::Apply(&body)).await?;
    count(&ctx.metrics.writes, "VirtualServer", "unreadable");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn said(type_: &'static str, status: Status, reason: &'static str) -> Vec<Condition> {
        let finding = Finding { type_, status, reason, message: "m".into() };
        conclude(vec![finding], &[], Some(1), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_changes_that_matter_are_told() {
        let running = Told::flips("Running", Status::True);
        let loud = Told { loud: true, ..running };
        let never = vec![];
        let up = said("Running", Status::True, "GuestRuns");
        let starting = said("Running", Status::False, "Starting");
        let preparing = said("Running", Status::False, "Preparing");
        let lost = said("Running", Status::Unknown, "HypervisorUnreachable");
        let cases = [
            (&never, &lost, 0, 1, "nothing known yet"),
            (&never, &starting, 0, 1, "not yet up"),
            (&never, &up, 1, 1, "up at once"),
            (&preparing, &starting, 0, 1, "another way of not yet"),
            (&starting, &starting, 0, 0, "the same way of not yet"),
            (&starting, &up, 1, 1, "up"),
            (&up, &up, 0, 0, "still up"),
            (&up, &starting, 1, 1, "down"),
            (&up, &lost, 1, 1, "lost"),
            (&lost, &up, 1, 1, "back"),
        ];
        for (before, after, quiet, noisy, what) in cases {
            assert_eq!(between(before, after, &[running]).len(), quiet, "{what}");
            assert_eq!(between(before, after, &[loud]).len(), noisy, "{what}, loud");
        }
    }

    #[test]
    fn what_is_bad_when_true_warns_at_first_sight() {
        let stalled = [Told::flips("Stalled", Status::False)];
        assert!(between(&[], &said("Stalled", Status::False, "R"), &stalled).is_empty());
        assert!(between(&[], &said("Stalled", Status::True, "R"), &stalled)[0].warning);
    }
}
