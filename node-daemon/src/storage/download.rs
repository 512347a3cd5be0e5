//! Fetches a file over HTTP and believes it only when its digest is right.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::Digest;
use suigen_crds::ident::Sha256;
use suigen_crds::quantity::human;
use tokio_util::sync::CancellationToken;

use super::room::{self, RoomError};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How long it may send nothing; also how long a cancelled download may last.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the whole may take.
const WHOLE: Duration = Duration::from_secs(6 * 3600);
/// Largest file, in bytes.
const LARGEST: u64 = 512 << 30;
/// Size of a read, in bytes.
const CHUNK: usize = 256 << 10;
/// How often the room on the node is looked at, in bytes received.
const LOOK_AT_ROOM: u64 = 64 << 20;

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server cannot be reached, declines, or breaks off.
    #[error("fetch {url}: {cause}")]
    Unreachable {
        /// The URL.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The file is another one than was asked for.
    #[error(
        "the file behind {url} has the SHA-256 digest {found}, its ServerImage says {expected}; it was discarded"
    )]
    ChecksumMismatch {
        /// The URL.
        url: String,
        /// The digest that was asked for.
        expected: Sha256,
        /// The digest that it has.
        found: String,
    },
    /// The file is larger than any image may be.
    #[error("the file behind {url} is larger than {}", human(LARGEST.cast_signed()))]
    TooLarge {
        /// The URL.
        url: String,
    },
    /// The node has no room for it.
    #[error("fetch {url}")]
    NoRoom {
        /// The URL.
        url: String,
        /// How much there is.
        source: RoomError,
    },
    /// The node does not obey.
    #[error("write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nobody wants it any more.
    #[error("nobody wants it any more")]
    Cancelled,
}

impl DownloadError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "ImageUnreachable",
            Self::ChecksumMismatch { .. } => "ImageChecksumMismatch",
            Self::TooLarge { .. } => "ImageTooLarge",
            Self::NoRoom { .. } => "NodeDiskFull",
            Self::Io { .. } => "ImageStoreFailed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Where a file is until its digest is known.
pub(super) fn partial(path: &Path) -> PathBuf {
    path.with_extension("part")
}

/// Fetches `url` to `path`, which is there only when all of it is and its
/// digest is `expected`.
pub(super) fn download(
    url: &str,
    expected: &Sha256,
    path: &Path,
    cancel: &CancellationToken,
) -> Result<(), DownloadError> {
    let aside = partial(path);
    let result = receive(url, expected, &aside, cancel).and_then(|()| {
        fs::rename(&aside, path)
            .and_then(|()| File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all())
            .map_err(|source| DownloadError::Io { path: path.to_owned(), source })
    });
    if result.is_err() {
        let _ = fs::remove_file(&aside);
    }
    result
}

fn receive(
    url: &str,
    expected: &Sha256,
    aside: &Path,
    cancel: &CancellationToken,
) -> Result<(), DownloadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull => full(url, aside),
        _ => DownloadError::Io { path: aside.to_owned(), source },
    };
    let (length, mut body) = open(url)?;
    let dir = aside.parent().unwrap_or(Path::new("/"));
    let room = |needed| {
        room::check(dir, needed)
            .map_err(|source| DownloadError::NoRoom { url: url.to_owned(), source })
    };
    room(length.unwrap_or_default())?;
    let mut file = File::create(aside).map_err(failed)?;
    let mut digest = sha2::Sha256::new();
    let (mut received, mut looked) = (0_u64, 0_u64);
    let mut buffer = vec![0; CHUNK];
    loop {
        if cancel.is_cancelled() {
            return Err(DownloadError::Cancelled);
        }
        let count = body.read(&mut buffer).map_err(|error| broken(url, &error))?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
        received += u64::try_from(count).unwrap_or(u64::MAX);
        if received > LARGEST {
            return Err(DownloadError::TooLarge { url: url.to_owned() });
        }
        if received - looked > LOOK_AT_ROOM {
            looked = received;
            room(0)?;
        }
        digest.update(chunk);
        file.write_all(chunk).map_err(failed)?;
    }
    let found = hex::encode(digest.finalize());
    if found != expected.as_str() {
        let (url, expected) = (url.to_owned(), expected.clone());
        return Err(DownloadError::ChecksumMismatch { url, expected, found });
    }
    file.sync_all().map_err(failed)
}

/// The kernel says that there is no room at all.
fn full(url: &str, aside: &Path) -> DownloadError {
    let path = aside.parent().unwrap_or(aside).to_owned();
    let source = RoomError::Full { path, left: 0, needed: 1 };
    DownloadError::NoRoom { url: url.to_owned(), source }
}

/// Begins the download: its length, where the server says it, and its content.
fn open(url: &str) -> Result<(Option<u64>, impl Read), DownloadError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_per_read(Some(SILENCE))
        .timeout_global(Some(WHOLE))
        .user_agent(concat!("suigen-node-daemon/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|error| broken(url, &error))?;
    let length = response.body().content_length();
    Ok((length, response.into_body().into_with_config().limit(LARGEST + 1).reader()))
}

fn broken(url: &str, cause: &dyn std::fmt::Display) -> DownloadError {
    DownloadError::Unreachable { url: url.to_owned(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests;
