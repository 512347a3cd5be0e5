//! The root of a jail: a mount over a mount over the bundle.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, chownat, mknodat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_move,
    mount_remount, unmount,
};

use super::{Bind, Error, Spec, Step};

/// Empty directories of the bundle in which binds have their place. Each
/// becomes a small memory file system of its own.
pub const ROOMS: [&str; 2] = ["run", "var/lib/suigen"];
/// The device directory.
const DEV: &str = "dev";

/// Builds the root over the bundle. The mount namespace is already our own.
pub(super) fn build(spec: &Spec) -> Result<(), Error> {
    let root = spec.root.as_path();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step(|| "make the mounts private".into())?;
    mount_bind(root, root).step(|| format!("bind {}", root.display()))?;
    let in_rooms = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for room in ROOMS {
        memory(&root.join(room), in_rooms)?;
    }
    memory(&root.join(DEV), MountFlags::NOSUID | MountFlags::NOEXEC)?;
    devices(&root.join(DEV), spec)?;
    for item in &spec.binds {
        bind(root, item, in_rooms)?;
    }
    for place in ROOMS.iter().chain([&DEV]) {
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
        let flags = if *place == DEV { flags } else { flags | MountFlags::NODEV };
        mount_remount(root.join(place), MountFlags::BIND | flags, c"")
            .step(|| format!("protect /{place}"))?;
    }
    // Programs must run from here even where the node forbids it for /var.
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(root, flags, c"").step(|| format!("protect {}", root.display()))
}

/// Makes the built root the only one: the node's tree is not even mounted.
pub(super) fn pivot(root: &Path) -> Result<(), Error> {
    let step = || format!("make {} the root", root.display());
    rustix::process::chdir(root).step(step)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => unmount(".", UnmountFlags::DETACH).step(step)?,
        // A node that runs from its initial memory file system cannot pivot.
        Err(rustix::io::Errno::INVAL) => {
            mount_move(".", "/").step(step)?;
            rustix::process::chroot(".").step(step)?;
        }
        Err(error) => return Err(error).step(step),
    }
    rustix::process::chdir("/").step(step)
}

fn memory(place: &Path, flags: MountFlags) -> Result<(), Error> {
    mount("tmpfs", place, "tmpfs", flags, c"size=1m,mode=755")
        .step(|| format!("mount memory at {}", place.display()))
}

fn devices(dev: &Path, spec: &Spec) -> Result<(), Error> {
    let mut devices = vec![("null", 0o666, 0), ("urandom", 0o444, 0)];
    if spec.kvm {
        devices.push(("kvm", 0o600, spec.user_id));
    }
    for (name, mode, owner) in devices {
        let step = || format!("make /dev/{name}");
        let original = fs::metadata(Path::new("/dev").join(name)).step(step)?;
        let path = dev.join(name);
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(mode), original.rdev())
            .step(step)?;
        // The creation mask took from the mode.
        rustix::fs::chmodat(CWD, &path, Mode::from_raw_mode(mode), AtFlags::empty()).step(step)?;
        let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
        chownat(CWD, &path, Some(uid), Some(gid), AtFlags::empty()).step(step)?;
    }
    Ok(())
}

fn bind(root: &Path, item: &Bind, flags: MountFlags) -> Result<(), Error> {
    let step = || format!("bind {} to {}", item.source.display(), item.target.display());
    let target = place_for(root, item).step(step)?;
    mount_bind(&item.source, &target).step(step)?;
    let flags = if item.writable { flags } else { flags | MountFlags::RDONLY };
    mount_remount(&target, MountFlags::BIND | flags, c"").step(step)
}

/// Makes the empty file or directory that a bind covers.
fn place_for(root: &Path, item: &Bind) -> io::Result<PathBuf> {
    let relative = item.target.strip_prefix("/").map_err(io::Error::other)?;
    if !ROOMS.iter().any(|room| relative.starts_with(room)) {
        return Err(io::Error::other("there is no room for it"));
    }
    let target = root.join(relative);
    if fs::metadata(&item.source)?.is_dir() {
        fs::create_dir_all(&target)?;
    } else {
        target.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::create(&target)?;
    }
    Ok(target)
}
