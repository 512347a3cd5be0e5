//! Links, forwarding tables and the namespace, by rtnetlink(7).

pub mod fdb;
pub mod links;
pub mod netns;

use std::io;

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

/// A request that the kernel did not carry out.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct Error {
    action: String,
    source: io::Error,
}

impl Error {
    /// An action that failed, written "create link sg-5001".
    #[must_use]
    pub fn new(action: impl Into<String>, source: io::Error) -> Self {
        Self { action: action.into(), source }
    }

    pub(super) fn from_rtnetlink(action: impl Into<String>, error: rtnetlink::Error) -> Self {
        let source = match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other),
        };
        Self::new(action, source)
    }

    /// The kernel's answer.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::AddrInUse => "TakenBySomebodyElse",
            io::ErrorKind::Unsupported => "KernelFeatureMissing",
            io::ErrorKind::PermissionDenied => "PermissionDenied",
            _ if self.errno() == Some(libc::EOPNOTSUPP) => "KernelFeatureMissing",
            _ => "NetlinkFailed",
        }
    }
}

/// Sends a request and waits for the kernel's answers; gives the messages of a
/// dump.
pub(super) async fn request(
    handle: &rtnetlink::Handle,
    action: &str,
    message: NetlinkMessage<RouteNetlinkMessage>,
) -> Result<Vec<RouteNetlinkMessage>, Error> {
    use futures::StreamExt as _;

    let failed = |error| Error::from_rtnetlink(action, error);
    let mut handle = handle.clone();
    let mut answers = handle.request(message).map_err(failed)?;
    let mut messages = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => messages.push(message),
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(failed(rtnetlink::Error::NetlinkError(error)));
            }
            _ => {}
        }
    }
    Ok(messages)
}

/// Opens a connection to the kernel in the namespace of the calling thread.
/// It lasts as long as its handle and its task.
///
/// # Errors
/// When the socket cannot be made.
pub fn connect() -> io::Result<(rtnetlink::Handle, impl Future<Output = ()> + use<>)> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    Ok((handle, connection))
}
