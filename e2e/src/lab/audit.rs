//! The API server's audit log: every write of Suigen's programs, and every
//! write to Suigen's objects, whoever it is by. It is what counts of API writes
//! are taken from.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Lab;

/// Without bodies: who, what, which object, which outcome.
const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  verbs: [get, list, watch]
- level: Metadata
  users:
  - system:serviceaccount:suigen-system:suigen-operator
  - system:serviceaccount:suigen-system:suigen-node-daemon
- level: Metadata
  resources:
  - group: suigen.dev
- level: None
";

/// Where the log is.
pub fn log(lab: &Lab) -> PathBuf {
    lab.path("logs").join("audit.log")
}

/// The flags of the API server, after writing the policy that they name.
pub fn flags(lab: &Lab) -> Result<Vec<String>> {
    let policy = lab.path("audit-policy.yaml");
    fs::write(&policy, POLICY).with_context(|| format!("write {}", policy.display()))?;
    Ok(vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log(lab).display()),
        "--audit-log-maxbackup=1".to_owned(),
    ])
}
