//! The certificate authority of the installation.
//!
//! Its key is in the Secret `suigen-ca`, made by whichever replica is first,
//! and never leaves the operator; its certificate is also in the ConfigMap of
//! that name, for daemons and console users.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;
use crate::http::Readiness;

/// Name of the Secret and of the ConfigMap.
const NAME: &str = "suigen-ca";
/// Key of the certificate in the ConfigMap.
const PUBLIC_KEY: &str = "ca.crt";
/// How long the authority is good for.
const CA_DAYS: u64 = 3650;
/// How long what it signs is good for: an outage of the API server of days is
/// survived, because daemons renew at half of it.
pub const LEAF_DAYS: u64 = 7;
/// How far the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused.
    #[error("{action} {NAME}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// What is in the Secret is no authority.
    #[error(
        "the Secret {NAME} holds no usable tls.crt and tls.key: restore it, or delete it and every node-daemon asks anew"
    )]
    Unusable,
    /// No key or certificate could be made.
    #[error("make a certificate authority")]
    Make(#[from] rcgen::Error),
}

impl Error {
    fn api(action: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { action, source: Box::new(source) }
    }
}

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub certificate: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let key = KeyPair::from_pem(key).map_err(|_| Error::Unusable)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(|_| Error::Unusable)?;
        Ok(Self { issuer, certificate: certificate.to_owned() })
    }

    /// Makes a new one: certificate and key in PEM.
    fn make() -> Result<(String, String), Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "suigen");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        limit(&mut params, CA_DAYS);
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    }

    /// Signs a certificate for both ends of TLS, for these DNS names only.
    ///
    /// # Errors
    /// When a name is none, or the key cannot be signed.
    pub fn sign(
        &self,
        names: Vec<String>,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, rcgen::Error> {
        let common = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        limit(&mut params, LEAF_DAYS);
        params.signed_by(key, &self.issuer)
    }
}

fn limit(params: &mut CertificateParams, days: u64) {
    let since_epoch = Timestamp::now().duration_since(Timestamp::UNIX_EPOCH);
    let now = date_time_ymd(1970, 1, 1) + Duration::try_from(since_epoch).unwrap_or_default();
    params.not_before = now - SKEW;
    params.not_after = now + DAY * u32::try_from(days).unwrap_or(1);
}

/// Loads or makes the authority, trying again until told to stop.
pub async fn load_until(
    client: &Client,
    namespace: &str,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Option<Authority> {
    loop {
        match load(client, namespace).await {
            Ok(authority) => return Some(authority),
            Err(error) => {
                let reason = Chain(&error).to_string();
                tracing::warn!(%reason, "no certificate authority");
                readiness.wait("api", reason);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

async fn load(client: &Client, namespace: &str) -> Result<Authority, Error> {
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(NAME).await.map_err(Error::api("read the Secret"))?;
    let secret = match found {
        Some(secret) => secret,
        None => create(&secrets).await?,
    };
    let part = |key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.0.clone()).ok()
    };
    let (certificate, key) = part("tls.crt").zip(part("tls.key")).ok_or(Error::Unusable)?;
    let authority = Authority::from_pem(&certificate, &key)?;
    publish(client, namespace, &authority.certificate).await?;
    Ok(authority)
}

/// Whoever creates it first has made it; the other reads it.
async fn create(secrets: &Api<Secret>) -> Result<Secret, Error> {
    let (certificate, key) = Authority::make()?;
    let data = BTreeMap::from([
        ("tls.crt".to_owned(), ByteString(certificate.into_bytes())),
        ("tls.key".to_owned(), ByteString(key.into_bytes())),
    ]);
    let secret = Secret {
        metadata: named(),
        type_: Some("kubernetes.io/tls".into()),
        data: Some(data),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            secrets.get(NAME).await.map_err(Error::api("read the Secret"))
        }
        created => created.map_err(Error::api("create the Secret")),
    }
}

async fn publish(client: &Client, namespace: &str, certificate: &str) -> Result<(), Error> {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let data = BTreeMap::from([(PUBLIC_KEY.to_owned(), certificate.to_owned())]);
    let wanted = ConfigMap { metadata: named(), data: Some(data.clone()), ..ConfigMap::default() };
    let params = PostParams::default();
    match maps.get_opt(NAME).await.map_err(Error::api("read the ConfigMap"))? {
        Some(map) if map.data.as_ref() == Some(&data) => Ok(()),
        Some(mut map) => {
            map.data = Some(data);
            let replaced = maps.replace(NAME, &params, &map).await;
            replaced.map(|_| ()).map_err(Error::api("write the ConfigMap"))
        }
        None => match maps.create(&params, &wanted).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            created => created.map(|_| ()).map_err(Error::api("create the ConfigMap")),
        },
    }
}

fn named() -> ObjectMeta {
    let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "suigen".to_owned())]);
    ObjectMeta { name: Some(NAME.into()), labels: Some(labels), ..ObjectMeta::default() }
}

#[cfg(test)]
pub(super) fn for_tests() -> Authority {
    let (certificate, key) = Authority::make().unwrap();
    Authority::from_pem(&certificate, &key).unwrap()
}
