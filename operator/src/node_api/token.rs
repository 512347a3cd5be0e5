//! Who asks: the bearer token, reviewed by the API server.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use suigen_crds::{GROUP, OPERATOR_AUDIENCE};

use super::refusal::Refusal;

/// The extra field in which the API server names the node of a pod's token.
const NODE_CLAIM: &str = "authentication.kubernetes.io/node-name";

/// The service account of node-daemons, in Suigen's namespace.
const DAEMON_ACCOUNT: &str = "suigen-node-daemon";

/// A caller that the API server vouches for.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    user: UserInfo,
}

impl Caller {
    /// The caller's name.
    pub fn name(&self) -> &str {
        self.user.username.as_deref().unwrap_or_default()
    }

    /// The node that the caller's pod runs on, if its token says so.
    pub fn node(&self) -> Option<&str> {
        let nodes = self.user.extra.as_ref()?.get(NODE_CLAIM)?;
        match nodes.as_slice() {
            [node] => Some(node),
            _ => None,
        }
    }

    /// The node of the caller, if it is a node-daemon.
    ///
    /// # Errors
    /// When it is somebody else, or its token names no node.
    pub fn daemon_of(&self, namespace: &str) -> Result<&str, Refusal> {
        let wanted = format!("system:serviceaccount:{namespace}:{DAEMON_ACCOUNT}");
        if self.name() != wanted {
            let text = format!("{} is no node-daemon: this is only for {wanted}", self.name());
            return Err(Refusal::Forbidden(text));
        }
        self.node().ok_or_else(|| {
            let text = "the token is not bound to a pod on a node: use a projected one";
            Refusal::Forbidden(text.into())
        })
    }
}

/// Reviews the request's token.
///
/// # Errors
/// When there is none, it is not valid here, or nobody can tell.
pub async fn review(client: &Client, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let token = bearer(headers).ok_or(Refusal::NoToken)?;
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: token.to_owned(),
            audiences: Some(vec![OPERATOR_AUDIENCE.to_owned()]),
        },
        ..TokenReview::default()
    };
    let reviews = Api::<TokenReview>::all(client.clone());
    let reviewed = reviews
        .create(&PostParams::default(), &review)
        .await
        .map_err(Refusal::api("have the token reviewed"))?;
    caller(reviewed)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// An API server that does not know audiences leaves them out: then the token
/// was made for somebody else.
fn caller(review: TokenReview) -> Result<Caller, Refusal> {
    let status = review.status.unwrap_or_default();
    let ours = status.audiences.iter().flatten().any(|audience| audience == OPERATOR_AUDIENCE);
    match status.user {
        Some(user) if status.authenticated == Some(true) && ours => Ok(Caller { user }),
        Some(_) | None => Err(Refusal::BadToken),
    }
}

/// Whether the caller may open the console of a server.
///
/// # Errors
/// When it may not, or nobody can tell.
pub async fn may_open_console(
    client: &Client,
    caller: &Caller,
    namespace: &str,
    name: &str,
) -> Result<(), Refusal> {
    let user = &caller.user;
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        verb: Some("create".into()),
        group: Some(GROUP.into()),
        resource: Some("virtualservers".into()),
        subresource: Some("console".into()),
        name: Some(name.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone().map(BTreeMap::from_iter),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    let reviewed = reviews
        .create(&PostParams::default(), &review)
        .await
        .map_err(Refusal::api("have the access reviewed"))?;
    let allowed = reviewed.status.is_some_and(|status| status.allowed);
    allowed.then_some(()).ok_or_else(|| {
        Refusal::Forbidden(format!(
            "{} may not open this console: it needs create on virtualservers/console in namespace {namespace}",
            caller.name()
        ))
    })
}

#[cfg(test)]
pub(super) fn daemon_for_tests(username: &str, node: Option<&str>) -> Caller {
    let extra = node.map(|node| BTreeMap::from([(NODE_CLAIM.to_owned(), vec![node.to_owned()])]));
    Caller { user: UserInfo { username: Some(username.into()), extra, ..UserInfo::default() } }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use k8s_openapi::api::authentication::v1::TokenReviewStatus;

    use super::*;

    fn reviewed(authenticated: bool, audiences: Option<&[&str]>) -> TokenReview {
        TokenReview {
            status: Some(TokenReviewStatus {
                authenticated: Some(authenticated),
                audiences: audiences.map(|all| all.iter().map(|&a| a.to_owned()).collect()),
                user: Some(UserInfo::default()),
                ..TokenReviewStatus::default()
            }),
            ..TokenReview::default()
        }
    }

    #[test]
    fn decide_only_a_token_for_this_audience_counts() {
        assert!(caller(reviewed(true, Some(&["suigen-operator"]))).is_ok());
        assert!(caller(reviewed(false, Some(&["suigen-operator"]))).is_err());
        assert!(caller(reviewed(true, Some(&["https://kubernetes.default.svc"]))).is_err());
        assert!(caller(reviewed(true, None)).is_err());
        assert!(caller(TokenReview::default()).is_err());
    }

    #[test]
    fn the_token_is_what_follows_bearer() {
        let with = |value: &'static str| {
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
        };
        assert_eq!(bearer(&with("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&with("bearer abc")), Some("abc"));
        for bad in ["Bearer ", "Bearer", "Basic abc", ""] {
            assert_eq!(bearer(&with(bad)), None, "{bad:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
