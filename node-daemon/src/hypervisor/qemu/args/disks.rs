//! Disks: volumes over images, and the disk of the first boot data.
//!
//! Guests name disks in the order of their PCI addresses, so that of the first
//! boot data has the highest.

use serde_json::{Value, json};

use super::super::residence;
use super::{BaseArg, BaseFormat, DiskArg, VIRTIO, object, push, root_port};

/// PCI slot of the first group of eight root ports for disks.
const PORTS: usize = 0x10;
/// PCI slot of the root port of the first boot data.
const FIRST_BOOT_PORT: usize = 0x1c;
/// Above those of all disks and interfaces.
const FIRST_BOOT_CHASSIS: usize = 0x20;

/// One disk behind a port of its own.
pub(super) fn devices(line: &mut Vec<String>, index: usize, disk: &DiskArg, vcpus: u32) {
    let id = format!("disk{index}");
    if let Some(base) = &disk.base {
        base_nodes(line, &id, base, disk.direct);
    }
    push(line, "blockdev", object(&file_node(&format!("{id}-file"), &disk.volume, disk.direct)));
    let backing = disk.base.as_ref().map(|_| format!("{id}-base"));
    push(
        line,
        "blockdev",
        object(&json!({ "driver": "qcow2", "node-name": id, "file": format!("{id}-file"),
            "backing": backing, "cache": { "direct": disk.direct, "no-flush": false },
            "discard": "unmap", "detect-zeroes": "unmap" })),
    );
    root_port(line, &id, PORTS, index, index + 1);
    let queues = vcpus.min(4);
    push(
        line,
        "device",
        format!(
            "virtio-blk-pci,id={id}-device,drive={id},bus={id}-port,addr=0x0,bootindex={index},\
             serial={},iothread=disks,num-queues={queues},queue-size=256,vectors={},\
             logical_block_size=512,physical_block_size=512,discard=on,write-zeroes=on,\
             write-cache=on,werror=stop,rerror=stop,config-wce=off,{VIRTIO}",
            disk.name,
            queues + 1
        ),
    );
}

fn base_nodes(line: &mut Vec<String>, id: &str, base: &BaseArg, direct: bool) {
    let file = format!("{id}-base-file");
    let mut node = file_node(&file, &base.path, direct);
    node["read-only"] = json!(true);
    push(line, "blockdev", object(&node));
    let name = format!("{id}-base");
    let node = match base.format {
        BaseFormat::Raw => {
            json!({ "driver": "raw", "node-name": name, "read-only": true, "file": file })
        }
        // Whatever it says of other files, it gets none.
        BaseFormat::Qcow2 => json!({ "driver": "qcow2", "node-name": name, "read-only": true,
            "file": file, "backing": Value::Null }),
    };
    push(line, "blockdev", object(&node));
}

fn file_node(name: &str, path: &str, direct: bool) -> Value {
    json!({ "driver": "file", "node-name": name, "filename": path, "aio": "threads",
        "locking": "on", "discard": "unmap", "cache": { "direct": direct, "no-flush": false } })
}

/// The disk that the guest's cloud-init finds by its file system's label. It is
/// no disk to boot from.
pub(super) fn first_boot(line: &mut Vec<String>) {
    let id = "first-boot";
    push(
        line,
        "blockdev",
        object(&json!({ "driver": "raw", "node-name": id, "read-only": true,
            "file": { "driver": "file", "filename": residence::FIRST_BOOT, "aio": "threads",
                "locking": "on", "read-only": true } })),
    );
    root_port(line, id, FIRST_BOOT_PORT, 0, FIRST_BOOT_CHASSIS);
    push(
        line,
        "device",
        format!(
            "virtio-blk-pci,id={id}-device,drive={id},bus={id}-port,addr=0x0,serial=cidata,\
             iothread=disks,num-queues=1,queue-size=64,vectors=2,logical_block_size=512,\
             physical_block_size=512,discard=off,write-zeroes=off,write-cache=on,werror=stop,\
             rerror=stop,config-wce=off,{VIRTIO}"
        ),
    );
}
