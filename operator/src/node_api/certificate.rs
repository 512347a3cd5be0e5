//! Certificates for node-daemons: one for the node that the token names, and
//! for no other.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use rcgen::{CertificateSigningRequestParams, PublicKey, SanType};
use serde::Serialize;

use super::Shared;
use super::refusal::{Refusal, in_time};
use super::token::{self, Caller};

/// What a daemon gets.
#[derive(Debug, Serialize)]
pub struct Issued {
    /// Its certificate, in PEM.
    pub certificate: String,
    /// The authority's certificate, in PEM.
    pub ca: String,
}

/// The name of a node-daemon in its certificate.
pub fn name_of_daemon(node: &str) -> String {
    format!("{node}.hypervisor.suigen")
}

/// Answers a certificate request.
///
/// # Errors
/// When the caller is no node-daemon, or asks for another node.
pub async fn issue(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    request: String,
) -> Result<Json<Issued>, Refusal> {
    let issued = async {
        let caller = in_time(token::review(&shared.client, &headers)).await?;
        let key = admit(&caller, &shared.namespace, &request)?;
        let names = vec![name_of_daemon(caller.node().unwrap_or_default())];
        let certificate = shared.authority.sign(names, &key).map_err(Refusal::Sign)?;
        tracing::info!(node = caller.node(), "certificate issued");
        Ok(Issued { certificate: certificate.pem(), ca: shared.authority.certificate.clone() })
    };
    let issued = issued.await.inspect_err(|refusal: &Refusal| {
        shared.metrics.count_request(refusal.reason());
    })?;
    shared.metrics.count_request("CertificateIssued");
    Ok(Json(issued))
}

/// Whether the caller may have what it asks for. Pure. Of the request only the
/// key is used, which its signature proves to be the caller's.
fn admit(caller: &Caller, namespace: &str, request: &str) -> Result<PublicKey, Refusal> {
    let node = caller.daemon_of(namespace)?;
    let request = CertificateSigningRequestParams::from_pem(request)
        .map_err(|error| Refusal::Malformed(format!("that is no certificate request: {error}")))?;
    let name = name_of_daemon(node);
    match request.params.subject_alt_names.as_slice() {
        [SanType::DnsName(asked)] if asked.as_str() == name => Ok(request.public_key),
        _ => Err(Refusal::Forbidden(format!(
            "the token is for node {node}: the request must name {name} and nothing else"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::node_api::ca;
    use crate::node_api::token::daemon_for_tests;

    const DAEMON: &str = "system:serviceaccount:suigen-system:suigen-node-daemon";

    fn request(names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        CertificateParams::new(names).unwrap().serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn decide_a_daemon_gets_only_its_own_nodes_name() {
        let own = "node-a.hypervisor.suigen";
        let cases = [
            (DAEMON, Some("node-a"), request(&[own]), true),
            (DAEMON, Some("node-b"), request(&[own]), false),
            (DAEMON, None, request(&[own]), false),
            (DAEMON, Some("node-a"), request(&[own, "operator.suigen"]), false),
            (DAEMON, Some("node-a"), request(&["operator.suigen"]), false),
            (DAEMON, Some("node-a"), request(&[]), false),
            (DAEMON, Some("node-a"), "no request".to_owned(), false),
            (
                "system:serviceaccount:acme:suigen-node-daemon",
                Some("node-a"),
                request(&[own]),
                false,
            ),
            ("system:serviceaccount:suigen-system:other", Some("node-a"), request(&[own]), false),
        ];
        for (index, (name, node, request, allowed)) in cases.into_iter().enumerate() {
            let caller = daemon_for_tests(name, node);
            let admitted = admit(&caller, "suigen-system", &request);
            assert_eq!(admitted.is_ok(), allowed, "case {index}: {admitted:?}");
        }
    }

    #[test]
    fn what_is_signed_is_read_back_by_the_one_who_asked() {
        let caller = daemon_for_tests(DAEMON, Some("node-a"));
        let request = request(&["node-a.hypervisor.suigen"]);
        let key = admit(&caller, "suigen-system", &request).unwrap();
        let authority = ca::for_tests();
        let signed = authority.sign(vec![name_of_daemon("node-a")], &key).unwrap();
        assert!(signed.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
