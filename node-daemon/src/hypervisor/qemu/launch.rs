//! Starts an incarnation: directories, user id, cgroup, jail, QEMU.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use suigen_crds::hypervisor::Acceleration;
use suigen_crds::ident::{Epoch, Uid};
use suigen_crds::net_ident::MacAddress;
use suigen_crds::server_image::Firmware;

use super::args::{self, Accelerator, BaseArg, BootFirmware, DiskArg, InterfaceArg, Machine};
use super::process::{Process, ProcessError};
use super::{descriptors, jail, residence, user_id};
use crate::first_boot::Image;
use crate::host::cgroup::{Cgroup, CgroupError};
use crate::host::paths::Paths;
use crate::storage::volume::{self, VolumeError};

/// What is to be started. Its volumes exist, and are nobody else's.
#[derive(Debug)]
pub struct Launch {
    /// The server.
    pub server: Uid,
    /// `namespace/name`, for people.
    pub name: String,
    /// The right that it is started under.
    pub epoch: Epoch,
    /// Which start of it; greater than every one before under this right.
    pub incarnation: i64,
    /// Digest of the bundle.
    pub bundle: String,
    /// Virtual CPUs.
    pub vcpus: i32,
    /// The guest's memory, in bytes.
    pub memory_bytes: i64,
    /// CPU time that is always there, in thousandths of a CPU.
    pub cpu_floor_millis: i32,
    /// What executes.
    pub acceleration: Acceleration,
    /// What boots.
    pub firmware: Firmware,
    /// Disks, the boot disk first.
    pub disks: Vec<LaunchDisk>,
    /// Network interfaces, in the guest's order.
    pub interfaces: Vec<LaunchInterface>,
    /// The first boot data.
    pub first_boot: Image,
}

/// One disk of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchDisk {
    /// What the server calls it.
    pub name: String,
    /// UID of the Disk whose volume it is.
    pub volume: Uid,
}

/// One network interface of it.
#[derive(Debug)]
pub struct LaunchInterface {
    /// What the guest sees as its address.
    pub mac: MacAddress,
    /// The largest packet that the guest may send, in bytes.
    pub mtu: u16,
    /// Its tap, with a `virtio_net_hdr` before each frame. QEMU gets it; here
    /// it is closed with this value.
    pub tap: OwnedFd,
}

/// Why an incarnation cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// What is asked for cannot be had here, or is not understood.
    #[error("{what} of {value} is nothing that this node-daemon can start a server with")]
    NotUnderstood {
        /// Which part of it.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// This incarnation runs already.
    #[error("incarnation {incarnation} of {server} runs already, as process {pid}")]
    AlreadyRunning {
        /// The server.
        server: Uid,
        /// Which start.
        incarnation: i64,
        /// The process.
        pid: i32,
    },
    /// A file or directory of the node does not obey.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The volume cannot be used.
    #[error("look at a volume")]
    Volume(#[from] VolumeError),
    /// The cgroup cannot be made.
    #[error("make the cgroup")]
    Cgroup(#[from] CgroupError),
    /// The process cannot be watched.
    #[error("watch the process")]
    Process(#[from] ProcessError),
}

impl LaunchError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotUnderstood { .. } => "NotUnderstood",
            Self::AlreadyRunning { .. } => "AlreadyRunning",
            Self::Io { .. } => "LaunchFailed",
            Self::Volume(error) => error.reason(),
            Self::Cgroup(error) => error.reason(),
            Self::Process(error) => error.reason(),
        }
    }

    fn io(action: &'static str) -> impl FnOnce((PathBuf, io::Error)) -> Self {
        move |(path, source)| Self::Io { action, path, source }
    }
}

/// Starts QEMU in a jail and a cgroup of its own. When this returns the process
/// exists; its QMP socket comes a moment later, and its guest waits for `cont`.
/// What a failed start leaves, [`super::clean::clean`] removes.
///
/// Blocks for some tens of milliseconds. Must be called within a tokio runtime.
///
/// # Errors
/// When something of it cannot be had. A jail that cannot be entered is no
/// error here: the process ends with status [`jail::FAILED`] and its log says why.
pub fn launch(paths: &Paths, launch: &Launch) -> Result<Process, LaunchError> {
    let (server, incarnation) = (&launch.server, launch.incarnation);
    let mut machine = machine(launch)?;
    let cgroup = Cgroup::at(paths.incarnation_cgroup(server, incarnation));
    if let Some(pid) = cgroup.pids()?.first() {
        let (server, pid) = (server.clone(), *pid);
        return Err(LaunchError::AlreadyRunning { server, incarnation, pid });
    }
    residence::make(paths, server, incarnation).map_err(LaunchError::io("make"))?;
    let user_id = user_id::claim(paths, server, incarnation)
        .map_err(|error| LaunchError::io("claim a user id in")((paths.user_ids(), error)))?;
    residence::hand_over(paths, server, incarnation, user_id)
        .map_err(LaunchError::io("hand over"))?;
    residence::keep_first_boot(paths, server, &launch.first_boot, user_id)
        .map_err(LaunchError::io("write"))?;
    let mut binds = residence::bind_run(paths, server, incarnation).to_vec();
    binds.push(residence::bind_first_boot(paths, server));
    for disk in &launch.disks {
        machine.disks.push(disk_arg(paths, disk, &mut binds)?);
    }
    let root = paths.bundle(&launch.bundle);
    if let (BootFirmware::Uefi, Some(boot)) = (machine.firmware, launch.disks.first()) {
        let template = root.join(args::UEFI_VARIABLES);
        residence::make_nvram(paths, &boot.volume, &template).map_err(LaunchError::io("make"))?;
        binds.push(residence::bind_nvram(paths, &boot.volume));
    }
    for bind in binds.iter().filter(|bind| bind.writable) {
        residence::give(&bind.source, user_id)
            .map_err(|error| LaunchError::io("hand over")((bind.source.clone(), error)))?;
    }
    let spec = jail::Spec {
        root,
        cgroup_procs: Some(cgroup.procs()),
        user_id,
        kvm: machine.accelerator == Accelerator::Kvm,
        binds,
        descriptors: machine.interfaces.iter().map(|interface| interface.descriptor).collect(),
        limits: None,
        argv: args::command_line(&machine),
    };
    confine(&cgroup, paths, launch)?;
    start(paths, launch, &spec, cgroup)
}

/// All of the machine but its disks.
fn machine(launch: &Launch) -> Result<Machine, LaunchError> {
    let refuse = |what, value: String| LaunchError::NotUnderstood { what, value };
    let accelerator = match launch.acceleration {
        Acceleration::Kvm => Accelerator::Kvm,
        Acceleration::SoftwareEmulation => Accelerator::SoftwareEmulation,
        other @ (Acceleration::None | Acceleration::Unknown) => {
            return Err(refuse("acceleration", format!("{other:?}")));
        }
    };
    let firmware = match launch.firmware {
        Firmware::Bios => BootFirmware::Bios,
        Firmware::Uefi => BootFirmware::Uefi,
        Firmware::Unknown => return Err(refuse("firmware", "Unknown".into())),
    };
    let vcpus = u32::try_from(launch.vcpus).ok().filter(|vcpus| *vcpus > 0);
    let memory = u64::try_from(launch.memory_bytes).ok().map(|bytes| bytes / 4096 * 4096);
    Ok(Machine {
        name: plain(&launch.name),
        uuid: launch.server.clone(),
        generation_id: generation_id(launch),
        vcpus: vcpus.ok_or_else(|| refuse("number of virtual CPUs", launch.vcpus.to_string()))?,
        memory_bytes: memory
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| refuse("memory", launch.memory_bytes.to_string()))?,
        accelerator,
        firmware,
        disks: Vec::new(),
        interfaces: launch.interfaces.iter().map(interface_arg).collect(),
    })
}

fn interface_arg(interface: &LaunchInterface) -> InterfaceArg {
    let descriptor = interface.tap.as_raw_fd();
    InterfaceArg { mac: interface.mac, mtu: interface.mtu, descriptor }
}

fn disk_arg(
    paths: &Paths,
    disk: &LaunchDisk,
    binds: &mut Vec<jail::Bind>,
) -> Result<DiskArg, LaunchError> {
    let base = volume::base(paths, &disk.volume)?.map(|(sha256, format)| {
        let bind = residence::bind_image(paths, &sha256);
        if !binds.contains(&bind) {
            binds.push(bind);
        }
        BaseArg { path: residence::image(&sha256), format }
    });
    binds.push(residence::bind_volume(paths, &disk.volume));
    Ok(DiskArg {
        name: plain(&disk.name),
        volume: residence::volume(&disk.volume),
        direct: bypasses_page_cache(&paths.volume(&disk.volume)),
        base,
    })
}

/// QEMU splits its options at commas; no name that the API admits has one.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-./_".contains(*c)).collect()
}

/// The same for a server's whole run, another for each start of it: starts are
/// counted anew under each right.
fn generation_id(launch: &Launch) -> String {
    let Launch { server, epoch, incarnation, .. } = launch;
    let hex = hex::encode(Sha256::digest(format!("generation {server} {epoch} {incarnation}")));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
}

fn bypasses_page_cache(path: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECT, Mode::empty()).is_ok()
}

/// Shares are dealt among neighbours, so they belong to the server's cgroup,
/// and protection holds only as far as all cgroups above grant it.
fn confine(cgroup: &Cgroup, paths: &Paths, launch: &Launch) -> Result<(), CgroupError> {
    cgroup.create(paths.cgroup())?;
    let server = Cgroup::at(paths.server_cgroup(&launch.server));
    let weight = (launch.cpu_floor_millis / 10).clamp(1, 10_000);
    server.set("cpu.weight", &weight.to_string())?;
    let memory = launch.memory_bytes.max(0).to_string();
    Cgroup::at(paths.cgroup()).set("memory.min", "max")?;
    server.set("memory.min", &memory)?;
    cgroup.set("memory.min", &memory)?;
    Ok(())
}

fn start(
    paths: &Paths,
    launch: &Launch,
    spec: &jail::Spec,
    cgroup: Cgroup,
) -> Result<Process, LaunchError> {
    let error = |action, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| LaunchError::Io { action, path, source }
    };
    let file = paths.jail_spec(&launch.server, launch.incarnation);
    let text = serde_json::to_vec_pretty(spec).map_err(|e| error("write", &file)(e.into()))?;
    std::fs::write(&file, text).map_err(error("write", &file))?;
    let log = paths.qemu_log(&launch.server);
    let out = residence::append_to(&log).map_err(error("open", &log))?;
    let err: File = out.try_clone().map_err(error("open", &log))?;
    let mut command = Command::new(paths.program());
    command.arg("jail").arg("--spec").arg(&file).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    descriptors::hand_down(&mut command, spec.descriptors.clone());
    let child = command.spawn().map_err(error("run", paths.program()))?;
    Ok(Process::of_child(&child, cgroup)?)
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
