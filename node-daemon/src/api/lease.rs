//! The heartbeat: a Lease of this node's name, the only write of an idle system.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Api, FIELD_MANAGER, WriteError};

/// How often the Lease is renewed, in seconds.
pub const RENEW_SECONDS: u64 = 10;
/// How long it counts after a renewal, in seconds.
pub const DURATION_SECONDS: i32 = 40;

impl Api {
    /// Renews the Lease, or makes it.
    ///
    /// # Errors
    /// When it is not renewed.
    pub async fn renew_lease(&self) -> Result<(), WriteError> {
        let name = format!("hypervisor-{}", self.me.node);
        let api: kube::Api<Lease> = self.namespaced(&self.namespace);
        let spec = LeaseSpec {
            holder_identity: Some(self.me.node.to_string()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(jiff::Timestamp::now())),
            ..LeaseSpec::default()
        };
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "spec": spec }));
        match self.counted("Lease", api.patch(&name, &params, &patch)).await {
            Err(WriteError::Gone) => {}
            other => return other,
        }
        let lease = Lease {
            metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
            spec: Some(spec),
        };
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        self.counted("Lease", api.create(&params, &lease)).await
    }
}
