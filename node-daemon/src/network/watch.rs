//! Tells when something in the tenants' namespace changed, whoever did it:
//! links, forwarding tables, rules.

use std::io;

use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;

use super::netlink::netns::{self, Namespace};
use super::readable::readable;

/// `RTMGRP_LINK` and `RTMGRP_NEIGH` (linux/rtnetlink.h).
const LINKS_AND_ENTRIES: u32 = 0x1 | 0x4;
/// `NFNLGRP_NFTABLES` is group 7 (linux/netfilter/nfnetlink.h).
const RULES: u32 = 1 << 6;

/// Why changes cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket, or it broke.
    #[error("watch the tenants' namespace")]
    Socket(#[from] io::Error),
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] netns::Error),
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Socket(_) => "WatchFailed",
            Self::Namespace(error) => error.reason(),
        }
    }
}

/// The kernel's notifications of one namespace.
#[derive(Debug)]
pub struct Watch {
    route: AsyncFd<Socket>,
    rules: AsyncFd<Socket>,
}

impl Watch {
    /// Begins to watch; called within a tokio runtime.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    pub fn begin(namespace: &Namespace) -> Result<Self, Error> {
        let (route, rules) = namespace.run(|| {
            let route = listen(NETLINK_ROUTE, LINKS_AND_ENTRIES)?;
            Ok::<_, io::Error>((route, listen(NETLINK_NETFILTER, RULES)?))
        })??;
        Ok(Self { route: readable(route)?, rules: readable(rules)? })
    }

    /// Waits until something changed since the last call. Which it was is not
    /// told: a listener that falls behind loses messages, so none may count.
    ///
    /// # Errors
    /// When a socket breaks.
    pub async fn changed(&self) -> Result<(), Error> {
        tokio::select! {
            done = drained(&self.route) => done?,
            done = drained(&self.rules) => done?,
        }
        Ok(())
    }
}

fn listen(protocol: isize, groups: u32) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind(&SocketAddr::new(0, groups))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Waits for messages and takes all that are there.
async fn drained(socket: &AsyncFd<Socket>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 16);
    loop {
        let mut ready = socket.readable().await?;
        let mut any = false;
        loop {
            buffer.clear();
            match ready.try_io(|socket| socket.get_ref().recv(&mut buffer, 0)) {
                Ok(Ok(_)) => any = true,
                // Messages were lost, so something changed.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => break,
            }
        }
        if any {
            return Ok(());
        }
    }
}
