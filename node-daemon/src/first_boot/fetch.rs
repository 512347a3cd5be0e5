//! User data, asked of the operator: the daemon has no right to read Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use suigen_crds::ident::{Epoch, Uid};

use super::UserData;
use crate::api::Api;
use crate::operator_client::{Answer, Operator, OperatorError, get, system_ca};

/// Whose user data is asked for.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Namespace of the server.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The server.
    pub server: &'a Uid,
    /// The right under which it is about to start here.
    pub epoch: Epoch,
}

/// Why there is no user data though the server names a Secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The operator could not be asked.
    #[error("ask the operator for the server's user data")]
    Operator(#[from] OperatorError),
    /// It declined, and says why.
    #[error("{message}")]
    Declined {
        /// One word for programs.
        reason: String,
        /// A sentence for people.
        message: String,
    },
    /// It answered what this version does not understand.
    #[error(
        "the operator's answer (HTTP status {status}) to a request for user data is not understood; operator and node-daemon are likely of different versions"
    )]
    NotUnderstood {
        /// The HTTP status.
        status: u16,
    },
}

impl FetchError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Operator(error) => error.reason(),
            Self::Declined { reason, .. } => reason,
            Self::NotUnderstood { .. } => "OperatorAnswerNotUnderstood",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    #[serde(default)]
    user_data: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    reason: String,
    message: String,
}

/// Asks for the user data of a server that names a Secret; none if it names
/// none any more.
///
/// # Errors
/// When it is not given, and why. It may be asked for again.
pub async fn user_data(
    api: &Api,
    operator: &Operator,
    asked: &Asked<'_>,
) -> Result<Option<UserData>, FetchError> {
    let ca = system_ca(api).await?;
    take_in(&get(operator, ca, path(asked)).await?)
}

fn path(Asked { namespace, name, server, epoch }: &Asked<'_>) -> String {
    format!(
        "/node/v1/namespaces/{namespace}/virtualservers/{name}/first-boot?uid={server}&epoch={epoch}"
    )
}

fn take_in(answer: &Answer) -> Result<Option<UserData>, FetchError> {
    let not_understood = || FetchError::NotUnderstood { status: answer.status };
    if !answer.is_success() {
        let refused: Refused = serde_json::from_str(&answer.body).map_err(|_| not_understood())?;
        return Err(FetchError::Declined { reason: refused.reason, message: refused.message });
    }
    let given: Given = serde_json::from_str(&answer.body).map_err(|_| not_understood())?;
    let Some(encoded) = given.user_data else { return Ok(None) };
    let bytes = STANDARD.decode(encoded).map_err(|_| not_understood())?;
    Ok(Some(UserData::new(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Result<Option<UserData>, FetchError> {
        take_in(&Answer { status, body: body.to_owned() })
    }

    #[test]
    fn what_the_operator_says_is_passed_on() {
        let given = answered(200, r#"{"userData": "I2Nsb3Vk"}"#).unwrap();
        assert_eq!(given, Some(UserData::new(b"#cloud".to_vec())));
        assert_eq!(answered(200, "{}").unwrap(), None);
        let body = r#"{"reason": "UserDataSecretNotFound", "message": "there is no Secret s"}"#;
        let declined = answered(404, body).unwrap_err();
        assert_eq!(declined.reason(), "UserDataSecretNotFound");
        assert_eq!(declined.to_string(), "there is no Secret s");
    }

    #[test]
    fn an_answer_that_is_not_understood_is_not_shown() {
        for (status, body) in
            [(200, "password"), (200, r#"{"userData": "pass word"}"#), (404, "password"), (500, "")]
        {
            let error = answered(status, body).unwrap_err();
            assert_eq!(error.reason(), "OperatorAnswerNotUnderstood");
            assert!(!format!("{error} {error:?}").contains("pass"), "{error:?}");
        }
        let answer = Answer { status: 200, body: "password".into() };
        assert!(!format!("{answer:?}").contains("password"));
    }

    #[test]
    fn the_request_names_the_right_under_which_the_server_starts() {
        let server = super::super::files::tests::server();
        let asked = Asked { namespace: "acme", name: "web-1", server: &server, epoch: Epoch(7) };
        assert_eq!(
            path(&asked),
            "/node/v1/namespaces/acme/virtualservers/web-1/first-boot\
             ?uid=0a000000-0000-4000-8000-00000000000f&epoch=7"
        );
    }
}
