//! Tells when something in the tenants' namespace changed, whoever did it:
//! links, forwarding tables, rules.

use std::io;

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::sys::{Socket, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::netlink::netns::{self, Namespace};
use super::readable::readable;

/// `RTMGRP_LINK` and `RTMGRP_NEIGH` (linux/rtnetlink.h).
const LINKS_AND_ENTRIES: u32 = 0x1 | 0x4;
/// `NFNLGRP_NFTABLES` is group 7 (linux/netfilter/nfnetlink.h).
const RULES: u32 = 1 << 6;
/// Room for the notifications of a few hundred changes of links, or of ten
/// thousand of forwarding tables, in bytes. Where more come at once they are
/// lost, and everything is read anew.
const ROOM: usize = 16 << 20;

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

/// What was told since the last time.
#[derive(Debug, Default)]
pub struct Told {
    /// About links and forwarding tables, in their order.
    pub messages: Vec<RouteNetlinkMessage>,
    /// Some were lost: the listener fell behind.
    pub lost: bool,
    /// Somebody changed the rules.
    pub rules: bool,
}

impl Told {
    /// Whether nothing was told.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.messages.is_empty() && !self.lost && !self.rules
    }
}

impl Watch {
    /// Begins to watch; called within a tokio runtime.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    pub fn begin(namespace: &Namespace) -> Result<Self, Error> {
        Self::with_room(namespace, ROOM)
    }

    /// Begins to watch with room for some bytes of notifications.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    pub fn with_room(namespace: &Namespace, room: usize) -> Result<Self, Error> {
        let (route, rules) = namespace.run(|| {
            let route = listen(NETLINK_ROUTE, LINKS_AND_ENTRIES)?;
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&route, room)?;
            Ok::<_, io::Error>((route, listen(NETLINK_NETFILTER, RULES)?))
        })??;
        Ok(Self { route: readable(route)?, rules: readable(rules)? })
    }

    /// Waits until there is something to [`take`](Self::take).
    ///
    /// # Errors
    /// When a socket breaks.
    pub async fn told(&self) -> Result<(), Error> {
        tokio::select! {
            ready = self.route.readable() => drop(ready?),
            ready = self.rules.readable() => drop(ready?),
        }
        Ok(())
    }

    /// Takes all that was told since the last time; does not wait.
    ///
    /// # Errors
    /// When a socket breaks.
    pub fn take(&self) -> Result<Told, Error> {
        let mut told = Told::default();
        let mut lost = drain(&self.route, |bytes| match parse(bytes) {
            Some(messages) => {
                told.messages.extend(messages);
                true
            }
            None => false,
        })?;
        // What is told of rules is only that they changed.
        lost |= drain(&self.rules, |_| {
            told.rules = true;
            true
        })?;
        told.lost = lost;
        Ok(told)
    }

    /// Waits until something changed since the last time, and takes it.
    ///
    /// # Errors
    /// When a socket breaks.
    pub async fn changed(&self) -> Result<Told, Error> {
        loop {
            self.told().await?;
            let told = self.take()?;
            if !told.is_empty() {
                return Ok(told);
            }
        }
    }
}

fn listen(protocol: isize, groups: u32) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind(&SocketAddr::new(0, groups))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Takes all that is there; tells whether any of it was lost or not understood.
fn drain(socket: &AsyncFd<Socket>, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut buffer = Vec::with_capacity(1 << 16);
    let mut lost = false;
    let mut known_empty = false;
    loop {
        buffer.clear();
        // The runtime may not know yet that there is something, so the socket
        // itself is asked; and through the runtime once it is empty, so that
        // this knows too.
        let received = if known_empty {
            socket.try_io(Interest::READABLE, |socket| socket.recv(&mut buffer, 0))
        } else {
            socket.get_ref().recv(&mut buffer, 0)
        };
        match received {
            Ok(_) => lost |= !take(&buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && known_empty => {
                return Ok(lost);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                known_empty = true;
                continue;
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => lost = true,
            Err(error) => return Err(error),
        }
        known_empty = false;
    }
}

/// The messages of one datagram.
fn parse(mut bytes: &[u8]) -> Option<Vec<RouteNetlinkMessage>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).ok()?;
        let length = usize::try_from(message.header.length).ok()?.next_multiple_of(4);
        bytes = bytes.get(length.max(4)..).unwrap_or_default();
        if let NetlinkPayload::InnerMessage(message) = message.payload {
            messages.push(message);
        }
    }
    Some(messages)
}
