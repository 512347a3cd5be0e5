//! The generation of a namespace's nft rules: a number that grows by one with
//! every change, whoever makes it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN` (linux/netfilter).
const GET: u16 = 10 << 8 | 16;
/// `NFT_MSG_NEWGEN` of the same.
const NEW: u16 = 10 << 8 | 15;
/// `NFTA_GEN_ID`.
const ID: u16 = 1;
const NLM_F_REQUEST: u16 = 1;
/// The length of `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 20;

/// Asks for the generation of one namespace; cheap to clone.
#[derive(Debug, Clone)]
pub struct Generations {
    socket: Arc<Mutex<Socket>>,
}

impl Generations {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket: Arc::new(Mutex::new(socket)) })
    }

    /// The generation now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn now(&self) -> io::Result<u32> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut question = Vec::with_capacity(HEADERS);
        question.extend(u32::try_from(HEADERS).unwrap_or(0).to_ne_bytes());
        question.extend(GET.to_ne_bytes());
        question.extend(NLM_F_REQUEST.to_ne_bytes());
        question.resize(HEADERS, 0);
        socket.send(&question, 0)?;
        let mut answer = Vec::with_capacity(4096);
        // It is there: the kernel answers before `send` returns.
        socket.recv(&mut answer, libc::MSG_DONTWAIT)?;
        id(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn id(message: &[u8]) -> Option<u32> {
    if half(message, 4)? != NEW {
        return None;
    }
    let mut attributes = message.get(HEADERS..)?;
    loop {
        let (length, kind) = (usize::from(half(attributes, 0)?), half(attributes, 2)?);
        if kind == ID {
            let value: [u8; 4] = attributes.get(4..8)?.try_into().ok()?;
            return Some(u32::from_be_bytes(value));
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_among_other_attributes() {
        let mut message = vec![0; HEADERS - 4];
        message[4..6].copy_from_slice(&NEW.to_ne_bytes());
        message.extend([0, 0, 0, 0]);
        message.extend([6, 0, 3, 0, b'x', 0, 0, 0]);
        message.extend([8, 0, 1, 0, 0, 0, 1, 2]);
        assert_eq!(id(&message), Some(0x102));
        assert_eq!(id(&message[..HEADERS]), None);
        message[4] = 0;
        assert_eq!(id(&message), None);
    }
}
