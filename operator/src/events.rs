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

/// What changed between two sets of conditions that is worth an event.
/// `good` is what the listed types say when all is well.
pub fn between(
    before: &[Condition],
    after: &[Condition],
    told: &[(&str, Status)],
) -> Vec<Announcement> {
    let changed = |(type_, good): &(&str, Status)| {
        let now = find(after, type_)?;
        let then = find(before, type_);
        let same = then.is_some_and(|c| (c.status, &c.reason) == (now.status, &now.reason));
        // What was never otherwise is no news, unless it is bad.
        let dull = now.status != *good && then.is_none_or(|c| c.status == now.status);
        // At first sight, only what became so is news: not what is not (yet).
        let no_news = then.is_none() && now.status != Status::True;
        (!same && !dull && !no_news).then(|| Announcement {
            warning: now.status != *good,
            reason: now.reason.clone(),
            note: now.message.clone(),
        })
    };
    told.iter().filter_map(changed).collect()
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
    ctx.announce(&reference, vec![said]).await;
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

    fn said(status: Status, reason: &'static str) -> Vec<Condition> {
        let finding = Finding { type_: "Running", status, reason, message: "m".into() };
        conclude(vec![finding], &[], Some(1), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_changes_that_matter_are_told() {
        let told = [("Running", Status::True)];
        let never = vec![];
        let up = said(Status::True, "Running");
        let waiting = said(Status::False, "Starting");
        let preparing = said(Status::False, "Preparing");
        let lost = said(Status::Unknown, "HypervisorUnreachable");
        let stalled = |status| {
            let finding = Finding { type_: "Stalled", status, reason: "R", message: "m".into() };
            conclude(vec![finding], &[], Some(1), Timestamp::UNIX_EPOCH)
        };
        let good_false = [("Stalled", Status::False)];
        assert!(between(&never, &stalled(Status::False), &good_false).is_empty());
        assert!(between(&never, &stalled(Status::True), &good_false)[0].warning);
        let cases = [
            (&never, &lost, 0, "nothing known yet"),
            (&never, &waiting, 0, "not yet up"),
            (&preparing, &waiting, 0, "another way of not yet"),
            (&waiting, &up, 1, "up"),
            (&up, &up, 0, "still up"),
            (&up, &waiting, 1, "down"),
            (&up, &lost, 1, "lost"),
            (&lost, &up, 1, "back"),
        ];
        for (before, after, count, what) in cases {
            assert_eq!(between(before, after, &told).len(), count, "{what}");
        }
    }
}
