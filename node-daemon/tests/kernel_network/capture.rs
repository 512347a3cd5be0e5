//! Sees every frame on every link of a namespace (packet(7)).

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use suigen_node_daemon::network::netlink::netns::Namespace;

pub struct Capture {
    fd: OwnedFd,
    namespace: Namespace,
}

/// A frame and the link that it was seen on.
pub struct Seen {
    pub link: String,
    pub frame: Vec<u8>,
}

impl Capture {
    pub fn begin(namespace: &Namespace) -> Self {
        let everything = u32::try_from(libc::ETH_P_ALL).unwrap();
        let protocol = u32::from(u16::try_from(everything).unwrap().to_be());
        let open = || {
            rustix::net::socket_with(
                AddressFamily::PACKET,
                SocketType::RAW,
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
                Some(Protocol::from_raw(protocol.try_into().unwrap())),
            )
        };
        let fd = namespace.run(open).unwrap().unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&fd, 64 << 20).unwrap();
        Self { fd, namespace: namespace.clone() }
    }

    /// All frames so far.
    pub fn take(&self) -> Vec<Seen> {
        let names = names(&self.namespace);
        let mut seen = Vec::new();
        while let Some((index, frame)) = self.next() {
            let link = names.iter().find(|(found, _)| *found == index);
            let link = link.map_or_else(|| format!("link {index}"), |(_, name)| name.clone());
            seen.push(Seen { link, frame });
        }
        seen
    }

    #[allow(unsafe_code)]
    fn next(&self) -> Option<(i32, Vec<u8>)> {
        let mut frame = vec![0_u8; 65_536];
        // SAFETY: all zeroes is a value of this plain structure.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut length = libc::socklen_t::try_from(size_of_val(&from)).unwrap();
        // SAFETY: both buffers outlive the call and have the lengths given.
        let read = unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                frame.as_mut_ptr().cast(),
                frame.len(),
                0,
                (&raw mut from).cast(),
                &raw mut length,
            )
        };
        frame.truncate(usize::try_from(read).ok()?);
        Some((from.sll_ifindex, frame))
    }
}

fn names(namespace: &Namespace) -> Vec<(i32, String)> {
    let listing = crate::lab::shell(namespace, "ip -o link");
    let parse = |line: &str| {
        let (index, rest) = line.split_once(": ")?;
        let name = rest.split([':', '@']).next()?;
        Some((index.parse().ok()?, name.to_owned()))
    };
    listing.lines().filter_map(parse).collect()
}
