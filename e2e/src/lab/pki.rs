//! The lab's certificates: one authority for the cluster, one for requests
//! that the API server passes on, and the key pair of service accounts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use super::address::{CONTROL_PLANE, KUBERNETES_SERVICE, NodeIndex};

/// The directory with the lab's certificates and keys.
#[derive(Debug, Clone)]
pub struct Pki {
    dir: PathBuf,
}

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The private key (PKCS #8).
    pub key: String,
}

/// What a certificate says.
struct Request<'a> {
    name: &'a str,
    group: Option<&'a str>,
    sans: &'a [String],
    usage: ExtendedKeyUsagePurpose,
}

impl<'a> Request<'a> {
    fn client(name: &'a str, group: Option<&'a str>) -> Self {
        Self { name, group, sans: &[], usage: ExtendedKeyUsagePurpose::ClientAuth }
    }
}

impl Pki {
    /// Opens the directory, making what is missing in it.
    pub fn ensure(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let pki = Self { dir: dir.to_owned() };
        pki.authority("ca", "suigen-lab")?;
        pki.authority("front-ca", "suigen-lab-front")?;
        pki.service_account_keys()?;
        let sans = [
            CONTROL_PLANE.to_string(),
            KUBERNETES_SERVICE.to_string(),
            "127.0.0.1".into(),
            "localhost".into(),
            "kubernetes".into(),
            "kubernetes.default".into(),
            "kubernetes.default.svc".into(),
        ];
        pki.kept("apiserver", || pki.server("kube-apiserver", &sans))?;
        pki.kept("kubelet-client", || {
            pki.client("kube-apiserver-kubelet-client", Some("system:masters"))
        })?;
        pki.kept("front", || pki.issue("front-ca", &Request::client("front-proxy-client", None)))?;
        Ok(pki)
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The cluster's authority, as PEM.
    pub fn ca(&self) -> Result<String> {
        fs::read_to_string(self.path("ca.crt")).context("read the lab's authority")
    }

    /// Issues a client certificate; `group` is the organization that RBAC knows.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        self.issue("ca", &Request::client(user, group))
    }

    /// Issues the certificate of a node's kubelet as a server.
    pub fn kubelet_server(&self, node: NodeIndex) -> Result<Identity> {
        self.server(&node.name(), &[node.name(), node.address().to_string()])
    }

    fn server(&self, name: &str, sans: &[String]) -> Result<Identity> {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        self.issue("ca", &Request { name, group: None, sans, usage })
    }

    fn issue(&self, authority: &str, request: &Request<'_>) -> Result<Identity> {
        let read = |end: &str| fs::read_to_string(self.path(&format!("{authority}.{end}")));
        let issuer = Issuer::from_ca_cert_pem(&read("crt")?, KeyPair::from_pem(&read("key")?)?)?;
        let mut params = params(request.name, request.sans)?;
        if let Some(group) = request.group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![request.usage.clone()];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert =
            params.signed_by(&key, &issuer).with_context(|| format!("issue {}", request.name))?;
        Ok(Identity { cert: cert.pem(), key: key.serialize_pem() })
    }

    fn authority(&self, file: &str, name: &str) -> Result<()> {
        self.kept(file, || {
            let mut params = params(name, &[])?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
                KeyUsagePurpose::DigitalSignature,
            ];
            let key = KeyPair::generate()?;
            Ok(Identity { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
        })
    }

    fn service_account_keys(&self) -> Result<()> {
        if self.path("sa.key").exists() {
            return Ok(());
        }
        let key = KeyPair::generate()?;
        fs::write(self.path("sa.pub"), key.public_key_pem())?;
        fs::write(self.path("sa.key"), key.serialize_pem()).context("write a key")
    }

    /// The key is written last: with it the pair is complete.
    fn kept(&self, file: &str, make: impl FnOnce() -> Result<Identity>) -> Result<()> {
        let key = self.path(&format!("{file}.key"));
        if key.exists() {
            return Ok(());
        }
        let identity = make()?;
        fs::write(self.path(&format!("{file}.crt")), identity.cert)?;
        fs::write(key, identity.key).context("write a key")
    }
}

fn params(name: &str, sans: &[String]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(sans)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opening_keeps_the_authority_and_still_issues() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::ensure(dir.path()).unwrap().ca().unwrap();
        let pki = Pki::ensure(dir.path()).unwrap();
        assert_eq!(first, pki.ca().unwrap());
        let identity = pki.client("someone", Some("some-group")).unwrap();
        assert!(identity.cert.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(identity.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
