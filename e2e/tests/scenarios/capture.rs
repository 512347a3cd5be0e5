//! Sees every frame on every link of a network namespace (packet(7)).

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use suigen_node_daemon::network::netlink::netns::Namespace;

/// A capture that runs from its beginning on.
pub struct Capture {
    fd: OwnedFd,
    namespace: Namespace,
}

/// A frame and the link that it was seen on.
pub struct Seen {
    pub link: String,
    pub frame: Vec<u8>,
}

impl Seen {
    /// Whether the bytes are anywhere in the frame.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.frame.windows(bytes.len()).any(|part| part == bytes)
    }
}

impl Capture {
    pub fn begin(namespace: &Namespace) -> Self {
        let everything = u16::try_from(libc::ETH_P_ALL).expect("fits").to_be();
        let protocol = Protocol::from_raw(u32::from(everything).try_into().expect("not zero"));
        let open = || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
            rustix::net::socket_with(family, kind, flags, Some(protocol))
        };
        let fd = namespace.run(open).expect("enter the namespace").expect("open a packet socket");
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&fd, 64 << 20)
            .expect("give the capture room");
        Self { fd, namespace: namespace.clone() }
    }

    /// All frames so far.
    pub fn take(&self) -> Vec<Seen> {
        let names = names(&self.namespace);
        let mut seen = Vec::new();
        while let Some((index, frame)) = self.next() {
            let link = names.get(&index).cloned().unwrap_or_else(|| format!("link {index}"));
            seen.push(Seen { link, frame });
        }
        seen
    }

    fn next(&self) -> Option<(i32, Vec<u8>)> {
        let mut frame = vec![0_u8; 65_536];
        // SAFETY: all zeroes is a value of this plain structure.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut length = libc::socklen_t::try_from(size_of_val(&from)).expect("fits");
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

fn names(namespace: &Namespace) -> BTreeMap<i32, String> {
    let list = || Command::new("ip").args(["-o", "link"]).output();
    let listing = namespace.run(list).expect("enter the namespace").expect("run ip");
    let parse = |line: &str| {
        let (index, rest) = line.split_once(": ")?;
        let name = rest.split([':', '@']).next()?;
        Some((index.parse().ok()?, name.to_owned()))
    };
    String::from_utf8_lossy(&listing.stdout).lines().filter_map(parse).collect()
}
