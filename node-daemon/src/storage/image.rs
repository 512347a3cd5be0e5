//! Images: fetched once a node, verified before anything reads them, inspected
//! before anything is made from them, removed when nothing was for a while.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::TryLockError;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use suigen_crds::disk::ImageSource;
use suigen_crds::ident::Sha256;
use suigen_crds::server_image::ImageFormat;
use tokio_util::sync::CancellationToken;

use super::download::{self, DownloadError};
use super::image_tool::{ImageTool, ToolError};
use super::volume::{self, VolumeError};
use crate::host::paths::Paths;
use crate::hypervisor::qemu::args::BaseFormat;
use crate::hypervisor::qemu::residence;

mod inspect;

/// How often a waiting caller looks whether another one has fetched its image.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It could not be fetched, or is not what its digest says.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// It is not an image of the format that its ServerImage says.
    #[error("the file behind {url} is not a usable {format} image")]
    Unreadable {
        /// Where it came from.
        url: String,
        /// What it should be.
        format: &'static str,
        /// What `qemu-img` says.
        source: ToolError,
    },
    /// It would make QEMU open something else.
    #[error("the image behind {url} {what}; only an image that stands by itself can be used")]
    RefersToOtherFiles {
        /// Where it came from.
        url: String,
        /// What it has.
        what: String,
    },
    /// Its format is from a newer API than this daemon knows.
    #[error("the format of the image behind {url} is not known to this node-daemon")]
    UnknownFormat {
        /// Where it would come from.
        url: String,
    },
    /// The node does not obey.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was made from images is not to be found out.
    #[error("find out which images are used")]
    Uses(#[source] Box<VolumeError>),
}

impl ImageError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Download(error) => error.reason(),
            Self::Unreadable { .. } => "ImageUnreadable",
            Self::RefersToOtherFiles { .. } => "ImageRefersToOtherFiles",
            Self::UnknownFormat { .. } => "ImageFormatUnknown",
            Self::Io { .. } | Self::Uses(_) => "ImageStoreFailed",
        }
    }
}

/// A verified image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its digest.
    pub sha256: Sha256,
    /// Its format.
    pub format: BaseFormat,
    /// Size of the disk in it, in bytes.
    pub virtual_size: u64,
}

/// Fetches, verifies and inspects an image, unless the node has it. Blocks, for
/// as long as the network takes; while one caller fetches, others for the same
/// image wait. May be called again.
///
/// # Errors
/// When the image cannot be used; nothing of it stays then. [`DownloadError::Cancelled`]
/// soon after `cancel`.
pub fn ensure(
    tool: &ImageTool,
    source: &ImageSource,
    cancel: &CancellationToken,
) -> Result<Image, ImageError> {
    with(tool, source, cancel, |image| Ok(image.clone()))
}

/// [`ensure`], and then something during which the image is not removed.
pub(super) fn with<T, E: From<ImageError>>(
    tool: &ImageTool,
    source: &ImageSource,
    cancel: &CancellationToken,
    then: impl FnOnce(&Image) -> Result<T, E>,
) -> Result<T, E> {
    let lock = tool.lock(&source.sha256);
    let present = || present(tool.paths(), source).map_err(E::from);
    loop {
        // A poisoned lock says that a thread died; what is on disk is whole anyway.
        let shared = match lock.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(_shared) = shared
            && let Some(image) = present()?
        {
            return then(&image);
        }
        let alone = match lock.try_write() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(_alone) = alone {
            if present()?.is_none() {
                fetch(tool, source, cancel)?;
            }
            continue;
        }
        if cancel.is_cancelled() {
            return Err(ImageError::from(DownloadError::Cancelled).into());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The image if the node has it; notes that it was asked for.
fn present(paths: &Paths, source: &ImageSource) -> Result<Option<Image>, ImageError> {
    let record = paths.image_record(&source.sha256);
    let text = match fs::read(&record) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &record)(error)),
    };
    // A record that is no record is made anew, from the network.
    let Ok(image) = serde_json::from_slice::<Image>(&text) else { return Ok(None) };
    if image.format != format(source)? || !paths.image(&source.sha256).exists() {
        return Ok(None);
    }
    touch(&record).map_err(io_error("touch", &record))?;
    Ok(Some(image))
}

/// Sets the time of last modification to the kernel's now.
fn touch(path: &Path) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
    Ok(rustix::fs::futimens(File::open(path)?, &times)?)
}

fn fetch(
    tool: &ImageTool,
    source: &ImageSource,
    cancel: &CancellationToken,
) -> Result<(), ImageError> {
    let (paths, sha256, url) = (tool.paths(), &source.sha256, &source.url);
    let format = format(source)?;
    let path = paths.image(sha256);
    let dir = paths.images();
    fs::create_dir_all(&dir).map_err(io_error("create", &dir))?;
    tracing::info!(%url, %sha256, "fetch an image");
    download::download(url, sha256, &path, cancel)?;
    let bind = residence::bind_image(paths, sha256);
    let image = inspect::inspect(tool, source, format, bind).and_then(|virtual_size| {
        let image = Image { sha256: sha256.clone(), format, virtual_size };
        write_record(paths, &image)?;
        Ok(image)
    });
    match image {
        Ok(image) => {
            tracing::info!(%url, %sha256, virtual_size = image.virtual_size, "image verified");
            Ok(())
        }
        Err(error) => {
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

fn format(source: &ImageSource) -> Result<BaseFormat, ImageError> {
    match source.format {
        ImageFormat::Raw => Ok(BaseFormat::Raw),
        ImageFormat::Qcow2 => Ok(BaseFormat::Qcow2),
        ImageFormat::Unknown => Err(ImageError::UnknownFormat { url: source.url.clone() }),
    }
}

fn write_record(paths: &Paths, image: &Image) -> Result<(), ImageError> {
    let record = paths.image_record(&image.sha256);
    let aside = record.with_extension("part");
    serde_json::to_vec(image)
        .map_err(io::Error::from)
        .and_then(|text| {
            let mut file = File::create(&aside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&aside, &record)?;
            File::open(paths.images())?.sync_all()
        })
        .map_err(io_error("write", &record))
}

/// Removes images that no volume uses and nobody asked for within `retention`,
/// and what broken downloads left. Returns what it removed.
///
/// # Errors
/// When the node does not obey, or the uses cannot be found out.
pub fn collect(tool: &ImageTool, retention: Duration) -> Result<Vec<Sha256>, ImageError> {
    let paths = tool.paths();
    let dir = paths.images();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", &dir)(error)),
    };
    let mut names = std::collections::BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(io_error("list", &dir))?.file_name();
        let stem = name.to_string_lossy().split('.').next().unwrap_or_default().to_owned();
        names.extend(Sha256::try_from(stem));
    }
    let mut removed = Vec::new();
    for sha256 in names {
        let lock = tool.lock(&sha256);
        // Whoever holds it uses the image right now.
        let Ok(_alone) = lock.try_write() else { continue };
        let used = volume::used_images(paths).map_err(|error| ImageError::Uses(Box::new(error)))?;
        if !used.contains(&sha256) && idle_for(paths, &sha256) >= retention {
            remove(paths, &sha256)?;
            removed.push(sha256);
        }
    }
    Ok(removed)
}

/// How long ago the image was asked for, or its download broke off.
fn idle_for(paths: &Paths, sha256: &Sha256) -> Duration {
    let candidates =
        [paths.image_record(sha256), download::partial(&paths.image(sha256)), paths.image(sha256)];
    let modified = candidates.iter().find_map(|path| fs::metadata(path).ok()?.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).unwrap_or_default()
}

fn remove(paths: &Paths, sha256: &Sha256) -> Result<(), ImageError> {
    let image = paths.image(sha256);
    // The record first: without it the image is not believed.
    for path in [paths.image_record(sha256), download::partial(&image), image] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError + use<> {
    let path = path.to_owned();
    move |source| ImageError::Io { action, path, source }
}
