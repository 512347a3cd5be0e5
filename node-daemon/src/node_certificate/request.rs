//! Asking the operator. Its address is an IP or a Service's name; its
//! certificate names it [`TLS_NAME`] wherever it is.

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::{CertificateError, Operator, Pem};

/// The operator's name in its certificate.
const TLS_NAME: &str = "suigen-operator";
/// How long the whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
struct Answer {
    certificate: String,
    ca: String,
}

/// Makes a key, and has it signed for `name`.
///
/// # Errors
/// When any of it fails.
pub async fn obtain(operator: Operator, name: String, ca: String) -> Result<Pem, CertificateError> {
    let ask = move || ask(&operator, &name, &ca);
    tokio::task::spawn_blocking(ask)
        .await
        .unwrap_or_else(|error| Err(CertificateError::Operator(error.to_string())))
}

fn ask(operator: &Operator, name: &str, ca: &str) -> Result<Pem, CertificateError> {
    let key = KeyPair::generate().map_err(CertificateError::Generate)?;
    let params =
        CertificateParams::new(vec![name.to_owned()]).map_err(CertificateError::Generate)?;
    let request = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(CertificateError::Generate)?;
    let token = std::fs::read_to_string(&operator.token)
        .map_err(|source| CertificateError::Token { path: operator.token.clone(), source })?;
    let answer = post(operator, ca, token.trim(), &request)?;
    Ok(Pem { key: key.serialize_pem(), certificate: answer.certificate, ca: answer.ca })
}

fn post(
    operator: &Operator,
    ca: &str,
    token: &str,
    request: &str,
) -> Result<Answer, CertificateError> {
    let declined = |error: &dyn std::fmt::Display| CertificateError::Operator(error.to_string());
    let (_, port) =
        operator.address.rsplit_once(':').ok_or_else(|| declined(&"its address has no port"))?;
    let agent = agent(&operator.address, ca)?;
    let mut answer = agent
        .post(format!("https://{TLS_NAME}:{port}/node/v1/certificate"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/x-pem-file")
        .send(request)
        .map_err(|e| declined(&e))?;
    let status = answer.status();
    let body = answer.body_mut().read_to_string().map_err(|e| declined(&e))?;
    if !status.is_success() {
        return Err(declined(&format!("{status}: {}", body.trim())));
    }
    serde_json::from_str(&body).map_err(|e| declined(&e))
}

fn agent(address: &str, ca: &str) -> Result<ureq::Agent, CertificateError> {
    let roots = CertificateDer::pem_slice_iter(ca.as_bytes())
        .map(|ca| ca.map(|ca| Certificate::from_der(&ca).to_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::Ca(error.to_string()))?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .https_only(true)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .build();
    let resolver = Fixed(address.to_owned());
    Ok(ureq::Agent::with_parts(config, DefaultConnector::default(), resolver))
}

/// Sends every request to one address, whatever name its URL has.
#[derive(Debug)]
struct Fixed(String);

impl Resolver for Fixed {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        for address in self.0.to_socket_addrs().map_err(|_| ureq::Error::HostNotFound)?.take(4) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}
