//! Network interfaces: taps that are open already.

use suigen_crds::net_ident::MacAddress;

use super::{VIRTIO, push, root_port};

/// PCI slot of the eight root ports for interfaces. Below those of disks, so
/// that another disk does not change what the guest calls an interface.
const PORTS: usize = 0x8;
/// Above those of all disks.
const FIRST_CHASSIS: usize = 0x11;

/// One network interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceArg {
    /// What the guest sees as its address.
    pub mac: MacAddress,
    /// The largest packet that the guest may send, in bytes.
    pub mtu: u16,
    /// The number, in QEMU, of the open tap.
    pub descriptor: i32,
}

/// What a tap offers depends on the node's kernel, and QEMU passes it on to the
/// guest. UFO came and went and USO came late, so the guest sees neither; the
/// rest every kernel has.
const OFFLOADS: &str = "csum=on,gso=on,host_tso4=on,host_tso6=on,host_ecn=on,host_ufo=off,\
    host_uso=off,guest_csum=on,guest_tso4=on,guest_tso6=on,guest_ecn=on,guest_ufo=off,\
    guest_uso4=off,guest_uso6=off,guest_rsc_ext=off,mrg_rxbuf=on,rss=off,hash=off";

/// What the guest can ask of the device.
const CONTROL: &str = "ctrl_vq=on,ctrl_rx=on,ctrl_rx_extra=on,ctrl_vlan=on,ctrl_mac_addr=on,\
    ctrl_guest_offloads=on,guest_announce=on,status=on,failover=off";

/// One interface behind a port of its own.
pub(super) fn devices(line: &mut Vec<String>, index: usize, interface: &InterfaceArg) {
    let id = format!("net{index}");
    let InterfaceArg { mac, mtu, descriptor } = interface;
    push(line, "netdev", format!("tap,id={id},fd={descriptor},vhost=off"));
    root_port(line, &id, PORTS, index, FIRST_CHASSIS + index);
    push(
        line,
        "device",
        format!(
            "virtio-net-pci,id={id}-device,netdev={id},bus={id}-port,addr=0x0,mac={mac},\
             host_mtu={mtu},mq=off,vectors=4,rx_queue_size=256,tx_queue_size=256,{OFFLOADS},\
             {CONTROL},romfile=,{VIRTIO}"
        ),
    );
}
