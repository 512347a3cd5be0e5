//! A machine's command line: a pure function of the machine.
//!
//! Nothing in it may follow the node, the kernel or QEMU's own defaults where
//! those can change: a server must look the same after it moves. What the guest
//! can see is the *device baseline*; [`DEVICE_BASELINE`] counts its versions.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::residence;
use suigen_crds::ident::Uid;

mod disks;
mod interfaces;

pub use interfaces::InterfaceArg;

/// Version of everything below that a guest can see of its devices. A change of
/// it comes with a new number, and with a branch for the servers that have the
/// old one. Which devices there are is the server's own.
pub const DEVICE_BASELINE: u32 = 1;

/// The machine type; every supported bundle has it.
const MACHINE: &str = "pc-q35-10.0";
/// The CPU of x86-64-v2, which KVM on any host of the last fifteen years and
/// software emulation offer alike; not all offer extensions of virtual-8086
/// mode. Physical addresses of 40 bits are the only ones that software
/// emulation knows. KVM's self-test asks for the same.
const CPU: &str = "Nehalem-v1,vme=off,phys-bits=40,host-phys-bits=off,enforce=on";
/// The program, in the jail.
pub const PROGRAM: &str = "/usr/bin/qemu-system-x86_64";
/// UEFI code without secure boot, in the bundle.
const UEFI_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
/// UEFI variables of a machine that never ran, in the bundle.
pub const UEFI_VARIABLES: &str = "usr/share/OVMF/OVMF_VARS_4M.fd";
/// Translated code that software emulation keeps, in MiB, so that QEMU stays
/// within the 80 MiB beyond the guest's memory that each server is counted
/// with. QEMU's own default is an eighth of the guest's memory, up to 1 GiB.
const TRANSLATED_CODE_MIB: u32 = 24;

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The kernel's KVM.
    Kvm,
    /// QEMU's code generator.
    SoftwareEmulation,
}

/// What starts the guest's boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootFirmware {
    /// SeaBIOS.
    Bios,
    /// OVMF, with variables beside the boot volume.
    Uefi,
}

/// The format of a base image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaseFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `namespace/name`, for people who look at processes.
    pub name: String,
    /// The server; the guest sees it as its SMBIOS UUID.
    pub uuid: Uid,
    /// A UUID that changes when the guest's time may have jumped back.
    pub generation_id: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// The guest's memory, in bytes; a multiple of 4096.
    pub memory_bytes: u64,
    /// What executes.
    pub accelerator: Accelerator,
    /// What boots.
    pub firmware: BootFirmware,
    /// Disks, the boot disk first; at most 16.
    pub disks: Vec<DiskArg>,
    /// Network interfaces; at most 8.
    pub interfaces: Vec<InterfaceArg>,
}

/// One disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskArg {
    /// What the server calls it; the guest sees it as its serial number.
    pub name: String,
    /// Path of the volume (qcow2), in the jail.
    pub volume: String,
    /// Whether the volume's file system can bypass the page cache.
    pub direct: bool,
    /// The image below the volume.
    pub base: Option<BaseArg>,
}

/// The image below a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseArg {
    /// Its path, in the jail.
    pub path: String,
    /// Its format.
    pub format: BaseFormat,
}

/// The command line, the program first. Paths are those of the jail.
///
/// The guest does not run before QMP `cont`; a guest that powers itself off
/// leaves a paused QEMU, because what that means is the daemon's to decide.
#[must_use]
pub fn command_line(machine: &Machine) -> Vec<String> {
    let mut line = vec![PROGRAM.to_owned()];
    identity(&mut line, machine);
    board(&mut line, machine);
    firmware(&mut line, machine);
    consoles(&mut line);
    small_devices(&mut line, machine);
    for (index, interface) in machine.interfaces.iter().enumerate() {
        interfaces::devices(&mut line, index, interface);
    }
    for (index, disk) in machine.disks.iter().enumerate() {
        disks::devices(&mut line, index, disk, machine.vcpus);
    }
    disks::first_boot(&mut line);
    line
}

fn push(line: &mut Vec<String>, option: &str, value: impl Into<String>) {
    line.extend([format!("-{option}"), value.into()]);
}

fn identity(line: &mut Vec<String>, machine: &Machine) {
    line.extend(["-nodefaults", "-no-user-config", "-S"].map(str::to_owned));
    push(line, "name", format!("guest={},debug-threads=on", machine.name));
    push(line, "uuid", machine.uuid.to_string());
    let deny = "obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
    push(line, "sandbox", format!("on,{deny}"));
    push(line, "action", "shutdown=pause,reboot=reset,panic=pause");
    push(line, "msg", "timestamp=on");
}

fn board(line: &mut Vec<String>, machine: &Machine) {
    // Memory is shareable from the first start: only so can QEMU be replaced
    // under a running guest later.
    push(
        line,
        "machine",
        format!(
            "{MACHINE},usb=off,smm=off,hpet=off,vmport=off,i8042=on,memory-backend=ram,\
             aux-ram-share=on{}",
            match machine.firmware {
                BootFirmware::Bios => "",
                BootFirmware::Uefi => ",pflash0=uefi-code,pflash1=uefi-variables",
            }
        ),
    );
    push(
        line,
        "accel",
        match machine.accelerator {
            Accelerator::Kvm => "kvm,kernel-irqchip=on".to_owned(),
            Accelerator::SoftwareEmulation => {
                format!("tcg,thread=multi,tb-size={TRANSLATED_CODE_MIB}")
            }
        },
    );
    push(line, "cpu", CPU);
    let vcpus = machine.vcpus;
    push(line, "smp", format!("{vcpus},maxcpus={vcpus},sockets=1,dies=1,cores={vcpus},threads=1"));
    let bytes = machine.memory_bytes;
    push(line, "m", format!("size={}k", bytes / 1024));
    push(
        line,
        "object",
        object(&json!({ "qom-type": "memory-backend-memfd", "id": "ram", "size": bytes,
            "share": true, "prealloc": false, "dump": false })),
    );
    push(line, "rtc", "base=utc,clock=host,driftfix=slew");
    push(line, "boot", "menu=off,strict=on");
    // A guest that sleeps looks like one that hangs.
    push(line, "global", "ICH9-LPC.disable_s3=1");
    push(line, "global", "ICH9-LPC.disable_s4=1");
}

fn firmware(line: &mut Vec<String>, machine: &Machine) {
    if machine.firmware == BootFirmware::Bios {
        return;
    }
    let parts = [("uefi-code", UEFI_CODE, true), ("uefi-variables", residence::NVRAM, false)];
    for (name, path, read_only) in parts {
        push(
            line,
            "blockdev",
            object(&json!({ "driver": "raw", "node-name": name, "read-only": read_only,
                "file": { "driver": "file", "filename": path, "locking": "on" } })),
        );
    }
}

fn consoles(line: &mut Vec<String>) {
    for (id, path) in [("qmp", residence::QMP), ("agent", residence::AGENT)] {
        push(line, "chardev", format!("socket,id={id},path={path},server=on,wait=off"));
    }
    push(line, "mon", "chardev=qmp,mode=control");
    push(
        line,
        "chardev",
        format!(
            "socket,id=serial,path={},server=on,wait=off,logfile={},logappend=on",
            residence::SERIAL,
            residence::SERIAL_LOG
        ),
    );
    push(line, "device", "isa-serial,id=serial0,chardev=serial,index=0");
    push(line, "vnc", format!("unix:{}", residence::VNC));
    push(
        line,
        "device",
        "VGA,id=screen,bus=pcie.0,addr=0x1,vgamem_mb=16,romfile=vgabios-stdvga.bin",
    );
}

fn small_devices(line: &mut Vec<String>, machine: &Machine) {
    push(line, "device", format!("vmgenid,guid={}", machine.generation_id));
    push(line, "object", "rng-random,id=entropy,filename=/dev/urandom");
    push(line, "device", format!("virtio-rng-pci,id=rng,rng=entropy,bus=pcie.0,addr=0x2,{VIRTIO}"));
    push(
        line,
        "device",
        format!("virtio-serial-pci,id=channels,bus=pcie.0,addr=0x3,max_ports=8,vectors=4,{VIRTIO}"),
    );
    push(
        line,
        "device",
        "virtserialport,id=agent-port,bus=channels.0,nr=1,chardev=agent,\
         name=org.qemu.guest_agent.0",
    );
    // Disks are served by a thread of their own, so that QMP answers while
    // storage does not.
    push(line, "object", "iothread,id=disks");
}

/// A PCI Express root port of its own, so that each device can be unplugged:
/// function by function of the slots from `slot` on.
fn root_port(line: &mut Vec<String>, id: &str, slot: usize, index: usize, chassis: usize) {
    let (slot, function) = (slot + index / 8, index % 8);
    push(
        line,
        "device",
        format!(
            "pcie-root-port,id={id}-port,bus=pcie.0,addr=0x{slot:x}.0x{function:x},\
             multifunction=on,chassis={chassis},port={chassis},io-reserve=0,rombar=0"
        ),
    );
}

/// Properties of every virtio device that would follow a version or the node.
const VIRTIO: &str = "disable-legacy=on,disable-modern=off,rombar=0,ats=off,iommu_platform=off,\
                      packed=off,event_idx=on,indirect_desc=on";

fn object(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests;
