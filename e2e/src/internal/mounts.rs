//! The mounts that make a directory the root of a node.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use crate::lab::node_spec::NodeSpec;

/// Builds the node's tree and makes it this process's root. Only the mount
/// namespace that this process is alone in changes.
pub fn enter(spec: &NodeSpec) -> Result<()> {
    let everything_private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", everything_private).context("make the mounts private")?;
    overlay(spec).context("mount the node's root")?;
    let root = spec.root();
    kernel_trees(&root)?;
    for bind in spec.binds() {
        let target = inside(&root, &bind.target);
        if bind.source.is_dir() {
            fs::create_dir_all(&target)?;
        } else {
            touch(&target)?;
        }
        mount_bind(&bind.source, &target)
            .with_context(|| format!("mount {} as {}", bind.source.display(), bind.target))?;
        if bind.read_only {
            mount_remount(&target, MountFlags::BIND | MountFlags::RDONLY, "")?;
        }
    }
    masks(spec, &root).context("mask kernel files")?;
    firmware_identity(spec, &root).context("give the node an identity")?;
    change_root(&root).context("change the root")
}

fn overlay(spec: &NodeSpec) -> Result<()> {
    let data = format!(
        "lowerdir={},upperdir={},workdir={}",
        spec.rootfs.display(),
        spec.dir.join("upper").display(),
        spec.dir.join("work").display()
    );
    mount("overlay", spec.root(), "overlay", MountFlags::empty(), &*c_string(&data)?)?;
    Ok(())
}

fn kernel_trees(root: &Path) -> Result<()> {
    fresh("proc", &root.join("proc"), "")?;
    fresh("sysfs", &root.join("sys"), "")?;
    fresh("cgroup2", &root.join("sys/fs/cgroup"), "")?;
    mount_bind_recursive("/dev", root.join("dev")).context("mount /dev")?;
    fresh("tmpfs", &root.join("dev/shm"), "mode=1777")?;
    fresh("tmpfs", &root.join("run"), "mode=755")?;
    fresh("tmpfs", &root.join("tmp"), "mode=1777")
}

/// Files of the node's own over those of the kernel that all nodes of this
/// machine would share, and over settings that the kubelet insists on but that
/// are not the lab's to change.
fn masks(spec: &NodeSpec, root: &Path) -> Result<()> {
    let values = root.join("run/lab/masks");
    fs::create_dir_all(&values)?;
    for mask in spec.masks() {
        let value = values.join(mask.target.replace('/', "_"));
        fs::write(&value, format!("{}\n", mask.value))?;
        let target = inside(root, mask.target);
        if !target.exists() {
            continue;
        }
        mount_bind(&value, &target).with_context(|| format!("mask {}", mask.target))?;
    }
    Ok(())
}

/// The identity that a machine's firmware tells (SMBIOS). Many machines of a
/// lab have no such files at all, hence an overlay and not a file over a file.
fn firmware_identity(spec: &NodeSpec, root: &Path) -> Result<()> {
    let class = root.join("run/lab/class");
    fs::create_dir_all(class.join("dmi/id"))?;
    fs::write(class.join("dmi/id/product_uuid"), format!("{}\n", spec.product_uuid))?;
    let target = root.join("sys/class");
    let layers = format!("lowerdir={}:{}", class.display(), target.display());
    mount("overlay", &target, "overlay", MountFlags::RDONLY, &*c_string(&layers)?)?;
    Ok(())
}

fn change_root(root: &Path) -> Result<()> {
    chdir(root)?;
    fs::create_dir_all(".old")?;
    pivot_root(".", ".old")?;
    chdir("/")?;
    unmount("/.old", UnmountFlags::DETACH)?;
    // Mounts that a pod makes for its host must reach it, as on any node.
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    Ok(())
}

fn fresh(kind: &str, target: &Path, data: &str) -> Result<()> {
    mount(kind, target, kind, MountFlags::empty(), &*c_string(data)?)
        .with_context(|| format!("mount {kind} at {}", target.display()))
}

fn inside(root: &Path, absolute: &str) -> std::path::PathBuf {
    root.join(absolute.trim_start_matches('/'))
}

fn touch(path: &Path) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    if !path.exists() {
        fs::write(path, "")?;
    }
    Ok(())
}

fn c_string(text: &str) -> Result<std::ffi::CString> {
    std::ffi::CString::new(text).context("a zero byte in a path")
}
