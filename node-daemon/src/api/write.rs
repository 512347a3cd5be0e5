//! Writes: server-side apply of this daemon's part of a status, bound to the UID
//! of the object that is meant.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use serde_json::json;
use suigen_crds::disk::{Disk, Volume};
use suigen_crds::virtual_server::{Runtime, VirtualServer};

use super::{Api, FIELD_MANAGER, TIMEOUT};
use crate::metrics::{Kind, Reason};

/// Why something is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No answer, or none in time; it may have been written.
    #[error("the API server cannot be reached")]
    Unreachable {
        /// What the connection said; none for a timeout.
        source: Option<Box<kube::Error>>,
    },
    /// The CRDs are older than this daemon, or that is not known yet.
    #[error("the CRDs are older than this node-daemon, or not yet compared with it")]
    SchemaTooOld,
    /// The object is not there any more, or another one has its name.
    #[error("the object is gone")]
    Gone,
    /// A rule or policy stands against it: another node's object, a lower epoch.
    #[error("the API server refused: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
}

impl WriteError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "ApiServerUnreachable",
            Self::SchemaTooOld => "SchemaTooOld",
            Self::Gone => "ObjectGone",
            Self::Refused { .. } => "ApiServerRefused",
        }
    }
}

impl Api {
    /// Writes `status.runtime` of a VirtualServer.
    ///
    /// # Errors
    /// When it is not, or may not be, written.
    pub async fn write_runtime(
        &self,
        meant: &ObjectMeta,
        runtime: &Runtime,
    ) -> Result<(), WriteError> {
        self.apply_status::<VirtualServer>(meant, json!({ "runtime": runtime })).await
    }

    /// Writes `status.volume` of a Disk.
    ///
    /// # Errors
    /// When it is not, or may not be, written.
    pub async fn write_volume(
        &self,
        meant: &ObjectMeta,
        volume: &Volume,
    ) -> Result<(), WriteError> {
        self.apply_status::<Disk>(meant, json!({ "volume": volume })).await
    }

    pub(super) async fn apply_status<K>(
        &self,
        meant: &ObjectMeta,
        status: serde_json::Value,
    ) -> Result<(), WriteError>
    where
        K: Resource<DynamicType = ()>,
    {
        self.apply_status_as::<K>(FIELD_MANAGER, meant, status).await
    }

    pub(super) async fn apply_status_as<K>(
        &self,
        manager: &str,
        meant: &ObjectMeta,
        status: serde_json::Value,
    ) -> Result<(), WriteError>
    where
        K: Resource<DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        let name = meant.name.clone().unwrap_or_default();
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": name, "namespace": meant.namespace, "uid": meant.uid },
            "status": status,
        });
        let api: kube::Api<DynamicObject> = match &meant.namespace {
            Some(namespace) => {
                kube::Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            None => kube::Api::all_with(self.client.clone(), &resource),
        };
        let params = PatchParams::apply(manager).force();
        let kind = super::read::static_kind(&K::kind(&()));
        let patch = Patch::Apply(body);
        let request = api.patch_status(&name, &params, &patch);
        self.counted(kind, request).await
    }

    pub(super) async fn counted<T>(
        &self,
        kind: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<(), WriteError> {
        let result = if self.may_write() || kind == "Lease" {
            match tokio::time::timeout(TIMEOUT, request).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(classify(error)),
                Err(_) => Err(WriteError::Unreachable { source: None }),
            }
        } else {
            Err(WriteError::SchemaTooOld)
        };
        match &result {
            Ok(()) => self.metrics.api_writes.get_or_create(&Kind { kind }).inc(),
            Err(error) => {
                let reason = error.reason();
                self.metrics.api_write_errors.get_or_create(&Reason { reason }).inc()
            }
        };
        result
    }
}

fn classify(error: kube::Error) -> WriteError {
    match error {
        // A different UID is a conflict on metadata.uid.
        kube::Error::Api(status) if status.is_not_found() || status.is_conflict() => {
            WriteError::Gone
        }
        kube::Error::Api(status) if status.code < 500 && status.code != 429 => {
            WriteError::Refused { message: status.message.clone() }
        }
        other => WriteError::Unreachable { source: Some(Box::new(other)) },
    }
}
