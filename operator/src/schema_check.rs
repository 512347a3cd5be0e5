//! Whether the installed CRDs are at least as new as this program.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};
use suigen_crds::{GROUP, SCHEMA_ANNOTATION, SCHEMA_VERSION};

/// The plural names of every kind that the operator uses.
const PLURALS: [&str; 10] = [
    "virtualservers",
    "disks",
    "serverclasses",
    "diskclasses",
    "serverimages",
    "hypervisors",
    "tenantnetworks",
    "networksegments",
    "networkports",
    "addressclaims",
];

/// Why the operator does not write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A CRD is not there.
    #[error("the CRD {0} is not installed: install the chart suigen-crds")]
    Missing(String),
    /// A CRD is of an older release.
    #[error(
        "the CRD {name} has schema {found}, this release needs {SCHEMA_VERSION}: upgrade the chart suigen-crds first"
    )]
    Older {
        /// Its name.
        name: String,
        /// Its schema version; 0 when it does not say.
        found: u32,
    },
    /// The API server did not answer.
    #[error("read the CRD {name}")]
    Api {
        /// Its name.
        name: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Reads every CRD's schema version.
///
/// # Errors
/// With the first CRD that is missing or older than this program.
pub async fn check(client: &Client) -> Result<(), Error> {
    let crds = Api::<CustomResourceDefinition>::all(client.clone());
    for plural in PLURALS {
        let name = format!("{plural}.{GROUP}");
        match crds.get_opt(&name).await {
            Ok(Some(crd)) => judge(&name, &crd)?,
            Ok(None) => return Err(Error::Missing(name)),
            Err(source) => return Err(Error::Api { name, source: Box::new(source) }),
        }
    }
    Ok(())
}

fn judge(name: &str, crd: &CustomResourceDefinition) -> Result<(), Error> {
    let said = crd.annotations().get(SCHEMA_ANNOTATION);
    let found = said.and_then(|version| version.parse().ok()).unwrap_or(0);
    if found < SCHEMA_VERSION {
        return Err(Error::Older { name: name.to_owned(), found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(version: Option<&str>) -> CustomResourceDefinition {
        let mut crd = CustomResourceDefinition::default();
        if let Some(version) = version {
            crd.annotations_mut().insert(SCHEMA_ANNOTATION.into(), version.into());
        }
        crd
    }

    #[test]
    fn decide_only_an_older_schema_is_refused() {
        let newer = (SCHEMA_VERSION + 1).to_string();
        assert!(judge("x", &crd(Some(&newer))).is_ok());
        assert!(judge("x", &crd(Some(&SCHEMA_VERSION.to_string()))).is_ok());
        for old in [None, Some("0"), Some("new")] {
            assert!(judge("x", &crd(old)).is_err(), "{old:?}");
        }
    }
}
