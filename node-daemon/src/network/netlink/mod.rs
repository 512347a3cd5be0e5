//! Links, forwarding tables and the namespace, by rtnetlink(7).

pub mod fdb;
pub mod generation;
pub mod links;
pub mod netns;
pub mod requests;

use std::io;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

/// A request that the kernel did not carry out.
#[derive(Debug, thiserror::Error)]
#[error("{action}{}", hint(source))]
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
        match &self.source {
            source if is_taken(source) => TAKEN,
            source if is_missing(source) => MISSING,
            source if source.kind() == io::ErrorKind::PermissionDenied => "PermissionDenied",
            _ => "NetlinkFailed",
        }
    }
}

const TAKEN: &str = "TakenBySomebodyElse";
const MISSING: &str = "KernelFeatureMissing";

fn is_taken(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::AddrInUse)
}

fn is_missing(source: &io::Error) -> bool {
    let errno = source.raw_os_error();
    source.kind() == io::ErrorKind::Unsupported
        || errno == Some(libc::EOPNOTSUPP)
        || errno == Some(libc::EAFNOSUPPORT)
        || errno == Some(libc::EPROTONOSUPPORT)
}

/// What the kernel's answer means here.
fn hint(source: &io::Error) -> &'static str {
    match source {
        source if is_taken(source) => ": somebody else on this node has it",
        source if is_missing(source) => ": this node's kernel does not have it",
        _ => "",
    }
}

/// Set where a table changed while it was listed, so that entries may be
/// missing (linux/netlink.h).
const NLM_F_DUMP_INTR: u16 = 0x10;

/// How often a listing is begun anew because of changes.
const DUMP_ATTEMPTS: usize = 10;

/// Lists a table. A socket does one at a time; a second one is refused.
pub(super) async fn dump(
    handle: &rtnetlink::Handle,
    action: &str,
    query: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, Error> {
    let mut message = NetlinkMessage::from(query);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    for _ in 1..DUMP_ATTEMPTS {
        match request(handle, action, message.clone()).await {
            Err(error) if error.source.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    request(handle, action, message).await
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
    let mut interrupted = false;
    while let Some(answer) = answers.next().await {
        interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => messages.push(message),
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(failed(rtnetlink::Error::NetlinkError(error)));
            }
            _ => {}
        }
    }
    if interrupted {
        return Err(Error::new(action, io::ErrorKind::Interrupted.into()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_kernel_has_a_reason_and_a_meaning() {
        let error = |errno| Error::new("make it", io::Error::from_raw_os_error(errno));
        let told = |errno| (error(errno).reason(), error(errno).to_string());
        for errno in [libc::EEXIST, libc::EADDRINUSE] {
            let meaning = "make it: somebody else on this node has it".to_owned();
            assert_eq!(told(errno), ("TakenBySomebodyElse", meaning));
        }
        for errno in [libc::EOPNOTSUPP, libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::ENOSYS] {
            let meaning = "make it: this node's kernel does not have it".to_owned();
            assert_eq!(told(errno), ("KernelFeatureMissing", meaning));
        }
        assert_eq!(told(libc::EPERM), ("PermissionDenied", "make it".to_owned()));
        assert_eq!(told(libc::EINVAL), ("NetlinkFailed", "make it".to_owned()));
    }
}
