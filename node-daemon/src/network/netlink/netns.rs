//! The network namespace of the tenants, bound to a file so that it outlives
//! the daemon.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::mount::UnmountFlags;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// The kernel's mark of the file system that namespaces are files of
/// (`NSFS_MAGIC`, linux/magic.h).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Settings of the namespace, below `/proc/sys/net`, and whether every kernel
/// has them. Bridges have no address, and frames that reach them are dropped;
/// these make sure of it once more. The last two keep the inner packets out of
/// the namespace's own (empty) IP rules, which would cost time for nothing.
const SETTINGS: [(&str, &str, bool); 5] = [
    ("ipv4/ip_forward", "0", true),
    ("ipv6/conf/all/disable_ipv6", "1", false),
    ("ipv6/conf/default/disable_ipv6", "1", false),
    ("bridge/bridge-nf-call-iptables", "0", false),
    ("bridge/bridge-nf-call-ip6tables", "0", false),
];

/// A network namespace; cheap to clone.
#[derive(Debug, Clone)]
pub struct Namespace {
    file: Arc<File>,
}

/// Why there is no namespace.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct Error {
    action: String,
    source: io::Error,
}

impl Error {
    fn at(action: &str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { action: format!("{action} {}", path.display()), source: source.into() }
    }

    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        "NetworkNamespaceUnusable"
    }
}

impl Namespace {
    /// Finds the namespace that is bound to `path`, or makes it. May be called
    /// again. Whether it is seen outside of the daemon's mount namespace
    /// depends on how the directory is mounted (`mountPropagation:
    /// Bidirectional`).
    ///
    /// # Errors
    /// When it can be neither found nor made.
    pub fn ensure(path: &Path) -> Result<Self, Error> {
        let namespace = if is_bound(path)? { Self::open(path)? } else { Self::bind_new(path)? };
        namespace.run(apply_settings)??;
        Ok(namespace)
    }

    /// Opens the namespace that is bound to a file.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::at("open", path, error))?;
        Ok(Self { file: Arc::new(file) })
    }

    /// A new namespace without a name; it is gone with the last thing in it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn scratch() -> Result<Self, Error> {
        in_new_namespace(Self::open)
    }

    fn bind_new(path: &Path) -> Result<Self, Error> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).map_err(|error| Error::at("create", directory, error))?;
        File::create(path).map_err(|error| Error::at("create", path, error))?;
        in_new_namespace(|own| {
            rustix::mount::mount_bind(own, path)
                .map_err(|error| Error::at("bind the namespace to", path, error))?;
            Self::open(path)
        })
    }

    /// Removes the name. The namespace goes with the last process or tap in it.
    ///
    /// # Errors
    /// When the file cannot be unmounted or removed.
    pub fn unbind(path: &Path) -> Result<(), Error> {
        if is_bound(path)? {
            rustix::mount::unmount(path, UnmountFlags::DETACH)
                .map_err(|error| Error::at("unmount", path, error))?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::at("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    /// Does something in the namespace, on a thread of its own. Sockets made
    /// there stay in the namespace, processes started there run in it.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let enter = || {
            rustix::thread::move_into_link_name_space(
                self.as_fd(),
                Some(LinkNameSpaceType::Network),
            )?;
            Ok(work())
        };
        on_a_thread(enter)
            .map_err(|source| Error { action: "enter the tenants' namespace".to_owned(), source })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned());
        let joined = thread.spawn_scoped(scope, work)?.join();
        joined.unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace died")))
    })
}

/// Does something in a new namespace, given the path of that.
fn in_new_namespace(
    work: impl FnOnce(&Path) -> Result<Namespace, Error> + Send,
) -> Result<Namespace, Error> {
    let made = on_a_thread(|| {
        unshare_network()?;
        let own = PathBuf::from("/proc/thread-self/ns/net");
        Ok(work(&own))
    });
    made.map_err(|source| Error { action: "make a network namespace".to_owned(), source })?
}

#[allow(unsafe_code)]
fn unshare_network() -> io::Result<()> {
    // SAFETY: only the network namespace is left, which no memory, descriptor
    // or other state of Rust depends on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.map_err(io::Error::from)
}

fn is_bound(path: &Path) -> Result<bool, Error> {
    match rustix::fs::statfs(path) {
        Ok(stat) => Ok(stat.f_type == NSFS_MAGIC),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(Error::at("look at", path, error)),
    }
}

fn apply_settings() -> Result<(), Error> {
    for (name, value, everywhere) in SETTINGS {
        let path = Path::new("/proc/sys/net").join(name);
        match fs::read_to_string(&path) {
            Ok(present) if present.trim() == value => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !everywhere => {}
            Ok(_) => fs::write(&path, value).map_err(|error| Error::at("write", &path, error))?,
            Err(error) => return Err(Error::at("read", &path, error)),
        }
    }
    Ok(())
}
