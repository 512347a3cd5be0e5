//! Asking the operator for a certificate.

use rcgen::{CertificateParams, KeyPair};
use serde::Deserialize;

use super::{CertificateError, Pem};
use crate::operator_client::{Operator, post_pem};

#[derive(Debug, Deserialize)]
struct Answer {
    certificate: String,
    ca: String,
}

/// Makes a key, and has it signed for `name`.
///
/// # Errors
/// When any of it fails.
pub async fn obtain(
    operator: &Operator,
    name: String,
    ca: String,
) -> Result<Pem, CertificateError> {
    let key = KeyPair::generate().map_err(CertificateError::Generate)?;
    let params = CertificateParams::new(vec![name]).map_err(CertificateError::Generate)?;
    let request = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(CertificateError::Generate)?;
    let answer = post_pem(operator, ca, "/node/v1/certificate", request).await?;
    if !answer.is_success() {
        let said = format!("{}: {}", answer.status, answer.body.trim());
        return Err(CertificateError::Declined(said));
    }
    let answer: Answer = serde_json::from_str(&answer.body)
        .map_err(|error| CertificateError::Declined(error.to_string()))?;
    Ok(Pem { key: key.serialize_pem(), certificate: answer.certificate, ca: answer.ca })
}
