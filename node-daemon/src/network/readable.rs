//! Descriptors that a task waits for until they can be read.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rtnetlink::sys::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Owns one descriptor for as long as it lives.
pub trait OwnsDescriptor: AsRawFd {}

impl OwnsDescriptor for OwnedFd {}
impl OwnsDescriptor for Socket {}

/// Waits for a descriptor; called within a tokio runtime.
///
/// # Errors
/// When the runtime takes no more.
#[allow(unsafe_code)]
pub fn readable<T: OwnsDescriptor>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `inner` owns its descriptor and closes it only when it is
    // dropped; neither type can exchange it for another.
    let watched = unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) };
    watched.map_err(|error| error.into_parts().1)
}
