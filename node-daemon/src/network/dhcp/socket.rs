//! A packet socket at one tap (packet(7)) that sees only what [`super::answer`]
//! may answer: a filter in the kernel keeps the guest's other traffic from
//! waking the daemon.

use std::io;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;

use crate::network::netlink::netns::{self, Namespace};
use crate::network::readable::readable;

/// The largest frame that a DHCP client sends here, in bytes; longer ones are
/// cut off and then not understood.
const FRAME_MAX: usize = 2048;

/// A socket at one link.
#[derive(Debug)]
pub struct TapSocket {
    fd: AsyncFd<OwnedFd>,
}

impl TapSocket {
    /// Opens it at the link with a number; called within a tokio runtime.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the kernel refuses.
    pub fn open(namespace: &Namespace, index: u32, server: Ipv4Addr) -> io::Result<Self> {
        let fd = namespace.run(|| open(index, server)).map_err(unusable)??;
        Ok(Self { fd: readable(fd)? })
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the link is gone.
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; FRAME_MAX];
        loop {
            let mut ready = self.fd.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut frame)?));
            if let Ok(length) = read {
                frame.truncate(length?);
                return Ok(frame);
            }
        }
    }

    /// Sends a frame to the guest.
    ///
    /// # Errors
    /// When the link is gone. A full queue is not an error: a client asks
    /// again.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        match rustix::io::write(self.fd.get_ref(), frame) {
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn unusable(error: netns::Error) -> io::Error {
    io::Error::other(error)
}

fn open(index: u32, server: Ipv4Addr) -> io::Result<OwnedFd> {
    // No protocol yet: until it is bound it would see every link's frames.
    let fd = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    attach_filter(&fd, &filter(server))?;
    bind(&fd, index)?;
    Ok(fd)
}

#[allow(unsafe_code)]
fn attach_filter(fd: &OwnedFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sock_fprog>());
    // SAFETY: the kernel copies the program, whose pointer and length are
    // those of a slice that outlives the call, and writes nothing.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length.map_err(io::Error::other)?,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[allow(unsafe_code)]
fn bind(fd: &OwnedFd, index: u32) -> io::Result<()> {
    let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    let protocol = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?;
    let address = libc::sockaddr_ll {
        sll_family: family,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>());
    // SAFETY: the address is a whole `sockaddr_ll` of the length given; the
    // kernel copies it.
    let done = unsafe {
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length.map_err(io::Error::other)?)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ancillary data of a filter (linux/filter.h): what came with the frame.
const PKTTYPE: u32 = 0xffff_f000 + 4;
const VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;

/// Lets through what the guest sent, untagged, if it is UDP to port 67 over
/// IPv4 or ARP for the server's address.
fn filter(server: Ipv4Addr) -> Vec<libc::sock_filter> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HEADER_LENGTH: u16 = 0xb1;
    const LOAD_HALF_INDEXED: u16 = 0x48;
    const EQUAL: u16 = 0x15;
    const SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    vec![
        op(LOAD_WORD, 0, 0, PKTTYPE),
        op(EQUAL, 14, 0, 4), // PACKET_OUTGOING: what we send ourselves
        op(LOAD_WORD, 0, 0, VLAN_TAG_PRESENT),
        op(EQUAL, 0, 12, 0),
        op(LOAD_HALF, 0, 0, 12),
        op(EQUAL, 0, 7, 0x0800),
        op(LOAD_BYTE, 0, 0, 23),
        op(EQUAL, 0, 8, 17),
        op(LOAD_HALF, 0, 0, 20),
        op(SET, 6, 0, 0x1fff), // not the first fragment: no ports
        op(LOAD_HEADER_LENGTH, 0, 0, 14),
        op(LOAD_HALF_INDEXED, 0, 0, 16),
        op(EQUAL, 4, 3, 67),
        op(EQUAL, 0, 2, 0x0806),
        op(LOAD_WORD, 0, 0, 38),
        op(EQUAL, 1, 0, u32::from(server)),
        op(RETURN, 0, 0, 0),
        op(RETURN, 0, 0, 0xffff),
    ]
}
