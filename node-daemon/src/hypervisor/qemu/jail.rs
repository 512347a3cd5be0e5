//! The jail: where QEMU and its tools are locked up.
//!
//! The daemon calls its own program with `jail --spec FILE`. That process joins
//! its cgroup and the node's mount namespace, makes a private copy of the
//! latter, builds a root from the bundle, gives up its rights and becomes the
//! program. It works the same in a pod with the node's process ids and directly
//! on a node. After it, nothing of the pod is left in the process: not the
//! cgroup, not the mounts, not the session.
//!
//! What is in the root: the bundle, read-only; `/dev` with `null`, `urandom` and,
//! where asked for, `kvm`; and the binds of the spec. The network namespace is
//! a new, empty one.

use std::convert::Infallible;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

mod root;

/// The exit status of a jail that could not be entered; no program of the
/// bundle has it.
pub const FAILED: i32 = 125;

/// One jail. All paths of the node are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The bundle that becomes the root.
    pub root: PathBuf,
    /// The cgroup's list of processes, where it is to be joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_procs: Option<PathBuf>,
    /// User and group id of the program.
    pub user_id: u32,
    /// Whether `/dev/kvm` is there.
    pub kvm: bool,
    /// What of the node is in it besides.
    pub binds: Vec<Bind>,
    /// Open files that the program keeps, by number, beyond standard ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descriptors: Vec<i32>,
    /// What the program may use: for tools that read what comes from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The program, as a path in the jail, and its arguments.
    pub argv: Vec<String>,
}

/// A file or directory of the node in the jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    /// Where it is on the node.
    pub source: PathBuf,
    /// Where it is in the jail, absolute; below one of [`root::ROOMS`].
    pub target: PathBuf,
    /// Whether it may be written.
    pub writable: bool,
}

/// Limits of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Memory that it may map, in bytes.
    pub memory_bytes: u64,
    /// CPU time that it may use, in seconds.
    pub cpu_seconds: u64,
    /// How long a file may get that it writes, in bytes.
    pub file_bytes: u64,
}

/// A step that failed, as the process says it before it ends.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub(super) struct Error {
    step: String,
    source: io::Error,
}

/// Adds to an error what was tried.
pub(super) trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error { step: step(), source: error.into() })
    }
}

/// Enters the jail that a file describes and becomes the program in it. Says
/// on standard error why it could not, and ends with status [`FAILED`].
///
/// Must be called by a process of one thread.
pub fn enter(spec: &Path) -> ! {
    let error = match become_program(spec) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    eprintln!("enter the jail of {}: {error}", spec.display());
    std::process::exit(FAILED)
}

fn become_program(spec: &Path) -> Result<Infallible, Error> {
    let text = std::fs::read(spec).step(|| "read the spec".into())?;
    let spec: Spec = serde_json::from_slice(&text).step(|| "read the spec".into())?;
    if let Some(procs) = &spec.cgroup_procs {
        std::fs::write(procs, "0").step(|| format!("join {}", procs.display()))?;
    }
    // A daemon is spared when memory runs out; its guests are not it. Not all
    // processes may change this, and a guest must not fail for it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    let _ = rustix::process::setsid();
    let kept = &spec.descriptors;
    super::descriptors::close_others(kept).step(|| format!("keep descriptors {kept:?}"))?;
    join_node_mounts()?;
    leave_namespaces()?;
    root::build(&spec)?;
    root::pivot(&spec.root)?;
    limit(spec.limits.as_ref())?;
    rustix::thread::set_no_new_privs(true).step(|| "forbid new rights".into())?;
    let (program, arguments) = spec
        .argv
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
        .step(|| "find a program in the spec".into())?;
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .gid(spec.user_id)
        .uid(spec.user_id)
        .exec();
    Err(error).step(|| format!("become {program}"))
}

/// Leaves the mount namespace of the pod, which ends with it, for that of the
/// node's first process. Where that process is not to be seen there is no pod
/// around this one either.
fn join_node_mounts() -> Result<(), Error> {
    use rustix::fs::{Mode, OFlags, open};
    let ours = std::fs::read_link("/proc/self/ns/mnt").step(|| "find the mounts".into())?;
    match std::fs::read_link("/proc/1/ns/mnt") {
        Ok(node) if node != ours => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(error).step(|| "find the node's mounts".into()),
    }
    let step = || "join the node's mounts".to_owned();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let node = open("/proc/1/ns/mnt", flags, Mode::empty()).step(step)?;
    let root = open("/proc/1/root", flags | OFlags::DIRECTORY, Mode::empty()).step(step)?;
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&node),
        Some(rustix::thread::LinkNameSpaceType::Mount),
    )
    .step(step)?;
    // The first process may see less than the whole of its namespace.
    rustix::process::fchdir(&root).step(step)?;
    rustix::process::chroot(".").step(step)
}

fn leave_namespaces() -> Result<(), Error> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    // SAFETY: file descriptors stay shared with nobody, as FILES is not asked for.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(flags) }.step(|| "leave the node's namespaces".into())
}

fn limit(limits: Option<&Limits>) -> Result<(), Error> {
    let set = |resource, most: u64| {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::setrlimit(resource, limit).step(|| format!("limit {resource:?}"))
    };
    // A core file would hold the guest's memory.
    set(Resource::Core, 0)?;
    let Some(limits) = limits else { return Ok(()) };
    set(Resource::As, limits.memory_bytes)?;
    set(Resource::Fsize, limits.file_bytes)?;
    set(Resource::Cpu, limits.cpu_seconds)
}
