//! Taps: the guest's network card on the node's side (`/dev/net/tun`).
//!
//! A tap outlives the process that has it open, so that a server that starts
//! again finds its port as it was. It belongs to the user id of the server's
//! QEMU. QEMU is not in the tenants' namespace and opens nothing: it is given
//! a descriptor that was opened there ([`attach`]).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::ioctl::{IntegerSetter, Opcode, Setter, ioctl, opcode};

use super::ident::LinkName;
use super::netlink::netns::{self, Namespace};

const TUN: &str = "/dev/net/tun";

const TUNSETIFF: Opcode = opcode::write::<libc::c_int>(b'T', 202);
const TUNSETPERSIST: Opcode = opcode::write::<libc::c_int>(b'T', 203);
const TUNSETOWNER: Opcode = opcode::write::<libc::c_int>(b'T', 204);

/// Ethernet frames, no extra header of the driver's own.
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
/// A `virtio_net_hdr` before each frame: QEMU passes on what the guest left to
/// the card (checksums, segmentation).
const IFF_VNET_HDR: u16 = 0x4000;

/// `struct ifreq` (netdevice(7)) as far as TUNSETIFF reads it.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Why a tap cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Some process has it open already.
    #[error("tap {name} is open elsewhere")]
    Busy { name: LinkName },
    /// The kernel refuses.
    #[error("{action} tap {name}")]
    System { action: &'static str, name: LinkName, source: io::Error },
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] netns::Error),
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "TapBusy",
            Self::System { .. } => "TapFailed",
            Self::Namespace(error) => error.reason(),
        }
    }
}

/// Whether frames carry a `virtio_net_hdr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As QEMU's `-netdev tap,fd=` expects; it asks the descriptor.
    Virtio,
    /// The bare frame.
    Plain,
}

/// A tap that is gone when this is dropped, unless it is kept.
#[derive(Debug)]
pub struct NewTap {
    file: File,
    name: LinkName,
}

impl NewTap {
    /// Makes a tap that belongs to a user.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(namespace: &Namespace, name: &LinkName, owner: u32) -> Result<Self, Error> {
        let file = namespace.run(|| open(name, Framing::Virtio))??;
        set_owner_of(&file, name, owner)?;
        Ok(Self { file, name: name.clone() })
    }

    /// Lets the tap outlive this process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn keep(self) -> Result<(), Error> {
        set::<TUNSETPERSIST>(&self.file, 1).map_err(|source| Error::System {
            action: "keep",
            name: self.name.clone(),
            source,
        })
    }
}

/// Opens a tap that is there, for a QEMU: the descriptor works in any
/// namespace and is closed on exec unless the caller arranges otherwise.
///
/// # Errors
/// When there is no such tap or a process has it open.
pub fn attach(namespace: &Namespace, name: &LinkName, framing: Framing) -> Result<OwnedFd, Error> {
    namespace.run(|| {
        expect_known(name)?;
        open(name, framing).map(OwnedFd::from)
    })?
}

/// Gives a tap to another user; nobody may have it open.
///
/// # Errors
/// When a process has it open, or the kernel refuses.
pub fn set_owner(namespace: &Namespace, name: &LinkName, owner: u32) -> Result<(), Error> {
    let file = namespace.run(|| open(name, Framing::Virtio))??;
    set_owner_of(&file, name, owner)
}

/// Opening a name that does not exist would make a tap that no one knows of.
fn expect_known(name: &LinkName) -> Result<(), Error> {
    let path = std::path::Path::new("/proc/thread-self/net/dev");
    let failed = |source| Error::System { action: "find", name: name.clone(), source };
    let listing = std::fs::read_to_string(path).map_err(failed)?;
    let mut names = listing.lines().filter_map(|line| line.split_once(':'));
    if names.any(|(found, _)| found.trim() == name.as_str()) {
        return Ok(());
    }
    Err(failed(io::ErrorKind::NotFound.into()))
}

#[allow(unsafe_code)]
fn open(name: &LinkName, framing: Framing) -> Result<File, Error> {
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EBUSY) => Error::Busy { name: name.clone() },
        _ => Error::System { action: "open", name: name.clone(), source },
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK);
    let file = options.open(TUN).map_err(failed)?;
    let mut request = Request { name: [0; 16], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    if framing == Framing::Virtio {
        request.flags |= IFF_VNET_HDR;
    }
    let bytes = name.as_str().as_bytes();
    let Some(field) = request.name.get_mut(..bytes.len()).filter(|field| field.len() < 16) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    field.copy_from_slice(bytes);
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`, which `Request` has
    // the size and layout of; it keeps no pointer to it.
    unsafe { ioctl(&file, Setter::<TUNSETIFF, Request>::new(request)) }
        .map_err(|error| failed(error.into()))?;
    Ok(file)
}

fn set_owner_of(file: &File, name: &LinkName, owner: u32) -> Result<(), Error> {
    set::<TUNSETOWNER>(file, owner as usize).map_err(|source| Error::System {
        action: "set the owner of",
        name: name.clone(),
        source,
    })
}

#[allow(unsafe_code)]
fn set<const OPCODE: Opcode>(file: &File, value: usize) -> io::Result<()> {
    // SAFETY: the requests used here take a number in place of a pointer.
    unsafe { ioctl(file, IntegerSetter::<OPCODE>::new_usize(value)) }.map_err(io::Error::from)
}
