//! Who wrote what to the API: read from the audit log of the lab's API server.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::lab::Lab;

/// One request that wrote, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which kind of write it was.
    pub kind: Kind,
    /// `namespace/name` of the object, as far as it has them.
    pub object: String,
}

/// Writes of one kind are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The writer: a ServiceAccount's name, or a user's.
    pub writer: String,
    /// `create`, `update`, `patch`, `delete`, ...
    pub verb: String,
    /// The resource, with its subresource after a slash.
    pub resource: String,
    /// The field manager that the writer named.
    pub manager: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl Kind {
    /// Whether it is one of the operator's or of a node-daemon's.
    pub fn is_ours(&self) -> bool {
        self.writer.starts_with("suigen-")
    }

    /// Whether it counts against the budget: a change of an object that stays,
    /// not an event, a heartbeat, or a question in the form of a POST.
    pub fn is_budgeted(&self) -> bool {
        let aside = ["events", "leases", "tokenreviews", "subjectaccessreviews"];
        self.is_ours() && !aside.iter().any(|resource| self.resource == *resource)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

/// Reads one line of the log; none where it tells of no finished request.
pub fn parse(line: &str) -> Result<Option<Write>> {
    let event: Event = serde_json::from_str(line).context("read a line of the audit log")?;
    if event.stage != "ResponseComplete" {
        return Ok(None);
    }
    let ObjectRef { resource, subresource, namespace, name } = event.object_ref;
    let resource =
        if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
    let writer = event.user.username.rsplit(':').next().unwrap_or_default().to_owned();
    let manager = query(&event.request_uri, "fieldManager").unwrap_or_default().to_owned();
    let code = event.response_status.code;
    Ok(Some(Write {
        kind: Kind { writer, verb: event.verb, resource, manager, code },
        object: format!("{namespace}/{name}"),
    }))
}

fn query<'a>(uri: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = uri.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Counts writes by kind.
pub fn tally(writes: &[Write]) -> BTreeMap<Kind, usize> {
    let mut counts = BTreeMap::new();
    for write in writes {
        *counts.entry(write.kind.clone()).or_default() += 1;
    }
    counts
}

/// The log, read from a mark on.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    mark: u64,
}

impl AuditLog {
    /// Opens the log of a lab; what is in it already is passed over.
    pub fn open(lab: &Lab) -> Result<Self> {
        let path = crate::lab::audit::log(lab);
        if !path.exists() {
            bail!(
                "the API server of this lab keeps no audit log, since an older e2e started it: \
                 e2e lab off kube-apiserver; e2e lab on kube-apiserver"
            );
        }
        let mut log = Self { path, mark: 0 };
        log.mark()?;
        Ok(log)
    }

    /// Passes over what is in the log now.
    pub fn mark(&mut self) -> Result<()> {
        self.mark = fs::metadata(&self.path).context("look at the audit log")?.len();
        Ok(())
    }

    /// What was written since the mark.
    pub fn writes(&self) -> Result<Vec<Write>> {
        let mut file = File::open(&self.path).context("open the audit log")?;
        ensure!(file.metadata()?.len() >= self.mark, "the audit log was rotated: start again");
        file.seek(SeekFrom::Start(self.mark))?;
        let mut text = String::new();
        file.read_to_string(&mut text).context("read the audit log")?;
        // The last line may still be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter_map(|line| parse(line).transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"/apis/suigen.dev/v1alpha1/namespaces/bench/virtualservers/s-1/status?&fieldManager=suigen-operator-placement","verb":"patch","user":{"username":"system:serviceaccount:suigen-system:suigen-operator","uid":"x"},"objectRef":{"resource":"virtualservers","namespace":"bench","name":"s-1","apiGroup":"suigen.dev","apiVersion":"v1alpha1","subresource":"status"},"responseStatus":{"metadata":{},"code":409},"requestReceivedTimestamp":"2026-11-25T01:02:03.000000Z","stageTimestamp":"2026-11-25T01:02:03.004000Z"}"#;

    #[test]
    fn reads_who_wrote_what_with_which_outcome() {
        let write = parse(LINE).unwrap().unwrap();
        assert_eq!(write.object, "bench/s-1");
        let Kind { writer, verb, resource, manager, code } = &write.kind;
        assert_eq!((writer.as_str(), verb.as_str()), ("suigen-operator", "patch"));
        assert_eq!((resource.as_str(), *code), ("virtualservers/status", 409));
        assert_eq!(manager, "suigen-operator-placement");
        assert!(write.kind.is_ours() && write.kind.is_budgeted());
    }

    #[test]
    fn counts_only_finished_requests() {
        let begun = LINE.replace("ResponseComplete", "RequestReceived");
        assert_eq!(parse(&begun).unwrap(), None);
        assert!(parse("{").is_err());
    }

    #[test]
    fn heartbeats_events_and_strangers_are_not_budgeted() {
        for resource in ["events", "leases", "tokenreviews"] {
            let line = LINE
                .replace("\"virtualservers\"", &format!("\"{resource}\""))
                .replace(",\"subresource\":\"status\"", "");
            assert!(!parse(&line).unwrap().unwrap().kind.is_budgeted(), "{resource}");
        }
        let stranger = LINE.replace("system:serviceaccount:suigen-system:suigen-operator", "eve");
        assert!(!parse(&stranger).unwrap().unwrap().kind.is_budgeted());
    }

    #[test]
    fn like_writes_are_counted_together() {
        let write = parse(LINE).unwrap().unwrap();
        let mut other = write.clone();
        other.object = "bench/s-2".to_owned();
        assert_eq!(tally(&[write.clone(), other]), [(write.kind, 2)].into());
    }
}
