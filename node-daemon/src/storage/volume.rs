//! Volumes: the data of `Local` disks. A volume is a qcow2 file over an image,
//! or over nothing. It is made once; one that was there and is gone is a loss
//! to be told, never a reason to make an empty one.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use suigen_crds::disk::ImageSource;
use suigen_crds::ident::{Sha256, Uid};
use suigen_crds::quantity::human;
use tokio_util::sync::CancellationToken;

use super::image::{self, Image, ImageError};
use super::image_tool::{ImageTool, ToolError};
use super::room::{self, RoomError};
use crate::host::paths::Paths;
use crate::hypervisor::qemu::args::BaseFormat;
use crate::hypervisor::qemu::jail::Bind;
use crate::hypervisor::qemu::{residence, user_id};

/// What a new volume takes before anything was written to it, at most, in bytes.
const METADATA: u64 = 16 << 20;
/// Where a volume in the making is, in the jail.
const MAKING: &str = "/run/making";

/// Why a volume cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image does not fit.
    #[error("the image's disk has {}, the Disk only {}; make a larger Disk", human(*image), human(*disk))]
    ImageLargerThanDisk {
        /// Size of the disk in the image, in bytes.
        image: i64,
        /// Size of the Disk, in bytes.
        disk: i64,
    },
    /// It was there once.
    #[error("the data of this disk, {}, was there and is gone; it is not made anew", path.display())]
    Missing {
        /// Where it was.
        path: PathBuf,
    },
    /// The node has no room for it.
    #[error(transparent)]
    NoRoom(#[from] RoomError),
    /// `qemu-img` cannot make it.
    #[error("make a volume")]
    Tool(#[from] ToolError),
    /// What it was made from is not to be found out.
    #[error("the record {} is damaged", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
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
}

impl VolumeError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Image(error) => error.reason(),
            Self::ImageLargerThanDisk { .. } => "ImageLargerThanDisk",
            Self::Missing { .. } => "VolumeMissing",
            Self::NoRoom(_) => "NodeDiskFull",
            Self::Tool(_) | Self::Io { .. } => "VolumeFailed",
            Self::Damaged { .. } => "VolumeDamaged",
        }
    }
}

/// A volume that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRequest {
    /// UID of the Disk.
    pub disk: Uid,
    /// Its size, in bytes.
    pub size_bytes: i64,
    /// What it starts from; nothing for an empty one.
    pub image: Option<ImageSource>,
    /// Whether it was reported as made at any time.
    pub existed_before: bool,
}

/// What a volume was made from; written with it, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    size_bytes: i64,
    image: Option<RecordedImage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedImage {
    sha256: Sha256,
    format: BaseFormat,
}

/// Makes a volume, with its image, unless it is there. Blocks, for as long as
/// fetching the image takes. May be called again, by one caller a volume.
///
/// # Errors
/// When it cannot be had; nothing of it is there then that was not before.
pub fn ensure(
    tool: &ImageTool,
    request: &VolumeRequest,
    cancel: &CancellationToken,
) -> Result<(), VolumeError> {
    let paths = tool.paths();
    let volume = paths.volume(&request.disk);
    if volume.exists() {
        return Ok(());
    }
    // The directory without the data says the same as an earlier report.
    if request.existed_before || paths.volume_dir(&request.disk).exists() {
        return Err(VolumeError::Missing { path: volume });
    }
    match &request.image {
        None => make(tool, request, None),
        Some(source) => image::with(tool, source, cancel, |image| {
            let size = i64::try_from(image.virtual_size).unwrap_or(i64::MAX);
            if size > request.size_bytes {
                let disk = request.size_bytes;
                return Err(VolumeError::ImageLargerThanDisk { image: size, disk });
            }
            make(tool, request, Some(image))
        }),
    }
}

/// Whether a volume is there.
#[must_use]
pub fn exists(paths: &Paths, disk: &Uid) -> bool {
    paths.volume(disk).exists()
}

/// Erases a volume and whatever belongs to it. May be called again.
///
/// # Errors
/// When the node does not obey.
pub fn erase(paths: &Paths, disk: &Uid) -> Result<(), VolumeError> {
    let (dir, going) = (paths.volume_dir(disk), aside(paths, disk, "erased"));
    remove_tree(&going)?;
    match fs::rename(&dir, &going) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("rename", &dir)(error));
        }
        _ => {}
    }
    for path in [going, aside(paths, disk, "part")] {
        remove_tree(&path)?;
    }
    sync_dir(&paths.volumes())
}

/// The image below a volume, and its format.
///
/// # Errors
/// When the volume's record cannot be read.
pub fn base(paths: &Paths, disk: &Uid) -> Result<Option<(Sha256, BaseFormat)>, VolumeError> {
    let record = read_record(&paths.volume_record(disk))?;
    Ok(record.image.map(|image| (image.sha256, image.format)))
}

/// Every image that a volume stands on.
pub(super) fn used_images(paths: &Paths) -> Result<BTreeSet<Sha256>, VolumeError> {
    let dir = paths.volumes();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(io_error("list", &dir)(error)),
    };
    let mut used = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(io_error("list", &dir))?.file_name();
        let Ok(disk) = Uid::try_from(name.to_string_lossy().into_owned()) else { continue };
        used.extend(base(paths, &disk)?.map(|(sha256, _)| sha256));
    }
    Ok(used)
}

fn make(
    tool: &ImageTool,
    request: &VolumeRequest,
    image: Option<&Image>,
) -> Result<(), VolumeError> {
    let paths = tool.paths();
    let volumes = paths.volumes();
    fs::create_dir_all(&volumes).map_err(io_error("create", &volumes))?;
    room::check(&volumes, METADATA)?;
    let dir = aside(paths, &request.disk, "part");
    remove_tree(&dir)?;
    fs::DirBuilder::new().mode(0o700).create(&dir).map_err(io_error("create", &dir))?;
    residence::give(&dir, user_id::TOOL).map_err(io_error("hand over", &dir))?;
    create(tool, request, image, &dir)?;
    finish(paths, request, image, &dir)
}

fn create(
    tool: &ImageTool,
    request: &VolumeRequest,
    image: Option<&Image>,
    dir: &Path,
) -> Result<(), VolumeError> {
    let file = format!("{MAKING}/disk.qcow2");
    let size = request.size_bytes.to_string();
    let base = image.map(|image| residence::image(&image.sha256));
    let mut arguments = vec!["create", "-q", "-f", "qcow2", "-o", "compat=1.1,cluster_size=64k"];
    let mut binds = vec![Bind { source: dir.to_owned(), target: MAKING.into(), writable: true }];
    if let (Some(base), Some(image)) = (&base, image) {
        let format = match image.format {
            BaseFormat::Raw => "raw",
            BaseFormat::Qcow2 => "qcow2",
        };
        arguments.extend(["-b", base, "-F", format]);
        binds.push(residence::bind_image(tool.paths(), &image.sha256));
    }
    arguments.extend([file.as_str(), &size]);
    tool.call(&arguments, binds)?;
    Ok(())
}

/// Gives the volume its name once all of it is on disk.
fn finish(
    paths: &Paths,
    request: &VolumeRequest,
    image: Option<&Image>,
    dir: &Path,
) -> Result<(), VolumeError> {
    let data = dir.join("disk.qcow2");
    chown(&data, Some(0), Some(0))
        .and_then(|()| fs::set_permissions(&data, Permissions::from_mode(0o600)))
        .and_then(|()| chown(dir, Some(0), Some(0)))
        .and_then(|()| File::open(&data)?.sync_all())
        .map_err(io_error("take back", &data))?;
    let record = dir.join("volume.json");
    let image =
        image.map(|image| RecordedImage { sha256: image.sha256.clone(), format: image.format });
    let content = Record { size_bytes: request.size_bytes, image };
    serde_json::to_vec(&content)
        .map_err(io::Error::from)
        .and_then(|text| fs::write(&record, text))
        .and_then(|()| File::open(&record)?.sync_all())
        .map_err(io_error("write", &record))?;
    sync_dir(dir)?;
    let finished = paths.volume_dir(&request.disk);
    fs::rename(dir, &finished).map_err(io_error("rename", dir))?;
    sync_dir(&paths.volumes())
}

fn aside(paths: &Paths, disk: &Uid, what: &str) -> PathBuf {
    paths.volume_dir(disk).with_extension(what)
}

fn read_record(path: &Path) -> Result<Record, VolumeError> {
    let text = fs::read(path).map_err(io_error("read", path))?;
    serde_json::from_slice(&text)
        .map_err(|source| VolumeError::Damaged { path: path.to_owned(), source })
}

fn remove_tree(path: &Path) -> Result<(), VolumeError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<(), VolumeError> {
    match File::open(path).and_then(|dir| dir.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("sync", path)(error)),
        _ => Ok(()),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VolumeError + use<> {
    let path = path.to_owned();
    move |source| VolumeError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
