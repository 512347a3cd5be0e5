//! The files of an incarnation: where they are on the node, and where its QEMU
//! finds them in the jail.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use suigen_crds::ident::{Sha256, Uid};

use super::jail::Bind;
use crate::first_boot::Image;
use crate::host::paths::Paths;

/// The directory of sockets, in the jail.
const SOCKETS: &str = "/run/suigen";
/// The directory of disks, images and logs, in the jail.
const FILES: &str = "/var/lib/suigen";

/// The socket at which QEMU is controlled, in the jail.
pub const QMP: &str = "/run/suigen/qmp";
/// The socket of the first serial console, in the jail.
pub const SERIAL: &str = "/run/suigen/serial";
/// The socket of the guest agent, in the jail.
pub const AGENT: &str = "/run/suigen/agent";
/// The socket of the screen, in the jail.
pub const VNC: &str = "/run/suigen/vnc";
/// The log of the first serial console, in the jail.
pub const SERIAL_LOG: &str = "/var/lib/suigen/serial.log";
/// The disk of the first boot data, in the jail.
pub const FIRST_BOOT: &str = "/var/lib/suigen/first-boot";
/// The UEFI variables, in the jail.
pub const NVRAM: &str = "/var/lib/suigen/nvram";

/// A volume's data, in the jail.
#[must_use]
pub fn volume(disk: &Uid) -> String {
    format!("{FILES}/volumes/{disk}")
}

/// An image, in the jail. Volumes name their base so.
#[must_use]
pub fn image(sha256: &Sha256) -> String {
    format!("{FILES}/images/{sha256}")
}

/// The bind of a volume, to be written.
#[must_use]
pub fn bind_volume(paths: &Paths, disk: &Uid) -> Bind {
    Bind { source: paths.volume(disk), target: volume(disk).into(), writable: true }
}

/// The bind of an image, not to be written.
#[must_use]
pub fn bind_image(paths: &Paths, sha256: &Sha256) -> Bind {
    Bind { source: paths.image(sha256), target: image(sha256).into(), writable: false }
}

/// The bind of the UEFI variables beside the boot volume.
#[must_use]
pub fn bind_nvram(paths: &Paths, disk: &Uid) -> Bind {
    Bind { source: paths.nvram(disk), target: NVRAM.into(), writable: true }
}

/// The bind of the first boot data, not to be written.
#[must_use]
pub fn bind_first_boot(paths: &Paths, server: &Uid) -> Bind {
    Bind { source: paths.first_boot(server), target: FIRST_BOOT.into(), writable: false }
}

/// The binds of an incarnation's sockets and of its serial log.
#[must_use]
pub fn bind_run(paths: &Paths, server: &Uid, incarnation: i64) -> [Bind; 2] {
    let sockets = paths.incarnation_run_dir(server, incarnation);
    [
        Bind { source: sockets, target: SOCKETS.into(), writable: true },
        Bind { source: paths.serial_log(server), target: SERIAL_LOG.into(), writable: true },
    ]
}

/// Makes the directories of an incarnation on the node.
///
/// # Errors
/// When the node does not obey.
pub fn make(paths: &Paths, server: &Uid, incarnation: i64) -> Result<(), (PathBuf, io::Error)> {
    for dir in [paths.server_dir(server), paths.incarnation_run_dir(server, incarnation)] {
        fs::create_dir_all(&dir).map_err(|error| (dir, error))?;
    }
    Ok(())
}

/// Gives an incarnation's files to its user. The files of the incarnation
/// before, too: that one has ended.
///
/// # Errors
/// When the node does not obey.
pub fn hand_over(
    paths: &Paths,
    server: &Uid,
    incarnation: i64,
    user_id: u32,
) -> Result<(), (PathBuf, io::Error)> {
    let run = paths.incarnation_run_dir(server, incarnation);
    fs::set_permissions(&run, fs::Permissions::from_mode(0o700))
        .and_then(|()| give(&run, user_id))
        .map_err(|error| (run, error))?;
    let log = paths.serial_log(server);
    append_to(&log).and_then(|_| give(&log, user_id)).map_err(|error| (log, error))
}

/// Makes the UEFI variables of a server's first start from its bundle's template.
///
/// # Errors
/// When the node does not obey.
pub fn make_nvram(paths: &Paths, disk: &Uid, template: &Path) -> Result<(), (PathBuf, io::Error)> {
    let nvram = paths.nvram(disk);
    if nvram.exists() {
        return Ok(());
    }
    let aside = nvram.with_extension("new");
    fs::copy(template, &aside)
        .and_then(|_| fs::set_permissions(&aside, fs::Permissions::from_mode(0o600)))
        .and_then(|()| fs::File::open(&aside)?.sync_all())
        .and_then(|()| fs::rename(&aside, &nvram))
        .map_err(|error| (nvram, error))
}

/// Writes the first boot data of an incarnation, for its user's eyes only: it
/// may hold secrets. What an earlier incarnation had is gone.
///
/// # Errors
/// When the node does not obey.
pub fn keep_first_boot(
    paths: &Paths,
    server: &Uid,
    image: &Image,
    user_id: u32,
) -> Result<(), (PathBuf, io::Error)> {
    let path = paths.first_boot(server);
    let aside = path.with_extension("new");
    let write = || {
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&aside)?;
        file.write_all(image.bytes())?;
        give(&aside, user_id)?;
        fs::rename(&aside, &path)
    };
    write().map_err(|error| (path.clone(), error))
}

/// Gives a file to a user.
///
/// # Errors
/// When the node does not obey.
pub fn give(path: &Path, user_id: u32) -> io::Result<()> {
    chown(path, Some(user_id), Some(user_id))
}

/// Opens a log for appending.
///
/// # Errors
/// When the node does not obey.
pub fn append_to(log: &Path) -> io::Result<fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(log)
}
