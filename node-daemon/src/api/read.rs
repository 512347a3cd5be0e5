//! Quorum reads: by name, with no resourceVersion, so that the API server asks
//! etcd and no cache answers.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use suigen_crds::disk::Disk;
use suigen_crds::virtual_server::VirtualServer;
use suigen_crds::{GROUP, SCHEMA_ANNOTATION, SCHEMA_VERSION};

use super::{Api, TIMEOUT};
use crate::metrics::{Kind, Reason};

/// Why an object could not be read. It says nothing about whether it exists.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer, or none in time.
    #[error("the API server cannot be reached")]
    Unreachable {
        /// What the connection said; none for a timeout.
        source: Option<Box<kube::Error>>,
    },
    /// An answer that is neither the object nor its absence.
    #[error("the API server refused: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The object is there and this version cannot read it.
    #[error("the object cannot be read by this version: {error}")]
    Malformed {
        /// Why.
        error: String,
    },
}

impl ReadError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "ApiServerUnreachable",
            Self::Refused { .. } => "ApiServerRefused",
            Self::Malformed { .. } => "ObjectMalformed",
        }
    }
}

impl Api {
    /// Reads a VirtualServer; `None` only when the API server says that there is
    /// no such object.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn read_server(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<VirtualServer>, ReadError> {
        self.read(&self.namespaced(namespace), name).await
    }

    /// Reads a Disk, likewise.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn read_disk(&self, namespace: &str, name: &str) -> Result<Option<Disk>, ReadError> {
        self.read(&self.namespaced(namespace), name).await
    }

    /// Reads a ConfigMap of the system's namespace.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn read_config_map(&self, name: &str) -> Result<Option<ConfigMap>, ReadError> {
        let api = self.namespaced(&self.namespace);
        timed(self, async { optional(api.get(name).await, name) }).await
    }

    /// Whether a CRD is being deleted, which marks every object of it as
    /// deleted though nobody wants those gone.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn crd_terminating(&self, plural: &str) -> Result<bool, ReadError> {
        let crd = self.read_crd(plural).await?;
        Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
    }

    /// Whether the CRDs are at least as new as this daemon.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn schema_is_new_enough(&self) -> Result<bool, ReadError> {
        let crd = self.read_crd("virtualservers").await?;
        let version = crd
            .and_then(|crd| crd.annotations().get(SCHEMA_ANNOTATION)?.parse::<u32>().ok())
            .unwrap_or(0);
        Ok(version >= SCHEMA_VERSION)
    }

    async fn read_crd(&self, plural: &str) -> Result<Option<CustomResourceDefinition>, ReadError> {
        let name = format!("{plural}.{GROUP}");
        let api = self.cluster();
        timed(self, async { optional(api.get(&name).await, &name) }).await
    }

    pub(super) async fn read<K>(
        &self,
        api: &kube::Api<DeserializeGuard<K>>,
        name: &str,
    ) -> Result<Option<K>, ReadError>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let guarded = timed(self, async { optional(api.get(name).await, name) }).await?;
        let invalid = match guarded {
            None => return Ok(None),
            Some(DeserializeGuard(Ok(object))) => return Ok(Some(object)),
            Some(DeserializeGuard(Err(invalid))) => invalid,
        };
        let kind = static_kind(&K::kind(&()));
        self.metrics.malformed_objects.get_or_create(&Kind { kind }).inc();
        tracing::warn!(kind, name, error = %invalid.error, "object cannot be read");
        Err(ReadError::Malformed { error: invalid.error })
    }
}

/// The kinds that are read, as label values.
pub(super) fn static_kind(kind: &str) -> &'static str {
    match kind {
        "VirtualServer" => "VirtualServer",
        "Disk" => "Disk",
        "Hypervisor" => "Hypervisor",
        "NetworkPort" => "NetworkPort",
        "NetworkSegment" => "NetworkSegment",
        "TenantNetwork" => "TenantNetwork",
        _ => "Other",
    }
}

async fn timed<T>(
    api: &Api,
    request: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    let answer = tokio::time::timeout(TIMEOUT, request)
        .await
        .unwrap_or(Err(ReadError::Unreachable { source: None }));
    if let Err(error) = &answer {
        api.metrics.api_read_errors.get_or_create(&Reason { reason: error.reason() }).inc();
    }
    answer
}

fn optional<T>(answer: Result<T, kube::Error>, name: &str) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(object) => Ok(Some(object)),
        // A 404 about something else (the whole kind is gone, a proxy's page)
        // is no word about this object.
        Err(kube::Error::Api(status))
            if status.is_not_found()
                && status.details.as_ref().is_some_and(|details| details.name == name) =>
        {
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => {
            Err(ReadError::Refused { message: status.message.clone() })
        }
        Err(error) => Err(ReadError::Unreachable { source: Some(Box::new(error)) }),
    }
}

/// How long after a failed read the next is tried.
#[must_use]
pub fn retry(failures: u32) -> Duration {
    crate::vm::backoff::delay(failures).min(Duration::from_secs(15))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn api_error(reason: &str, code: u16, named: Option<&str>) -> kube::Error {
        let mut status = Status::failure("said", reason).with_code(code);
        if let Some(name) = named {
            let details = serde_json::from_value(serde_json::json!({ "name": name })).unwrap();
            status = status.with_details(details);
        }
        kube::Error::Api(status.boxed())
    }

    #[test]
    fn only_a_word_about_the_object_itself_says_that_it_is_absent() {
        let read = |error| optional::<()>(Err(error), "web-1");
        assert!(matches!(read(api_error("NotFound", 404, Some("web-1"))), Ok(None)));
        for other in [
            api_error("NotFound", 404, Some("virtualservers.suigen.dev")),
            api_error("NotFound", 404, None),
            api_error("Failed to parse error data", 404, None),
            api_error("Forbidden", 403, Some("web-1")),
        ] {
            assert_eq!(read(other).unwrap_err().reason(), "ApiServerRefused");
        }
        for away in [api_error("InternalError", 500, None), api_error("TooManyRequests", 429, None)]
        {
            assert_eq!(read(away).unwrap_err().reason(), "ApiServerUnreachable");
        }
    }
}
