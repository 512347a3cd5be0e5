use super::*;

fn machine() -> Machine {
    Machine {
        name: "acme/web-1".into(),
        uuid: "0a000000-0000-4000-8000-00000000000f".to_owned().try_into().unwrap(),
        generation_id: "0b000000-0000-4000-8000-00000000000f".into(),
        vcpus: 2,
        memory_bytes: 512 << 20,
        accelerator: Accelerator::SoftwareEmulation,
        firmware: BootFirmware::Bios,
        disks: vec![DiskArg {
            name: "root".into(),
            volume: "/var/lib/suigen/volumes/v".into(),
            direct: true,
            base: Some(BaseArg {
                path: "/var/lib/suigen/images/i".into(),
                format: BaseFormat::Qcow2,
            }),
        }],
        interfaces: Vec::new(),
    }
}

fn interface(last: u8) -> InterfaceArg {
    let mac = suigen_crds::net_ident::MacAddress::new([2, 0, 0, 0, 0, last]);
    InterfaceArg { mac, mtu: 1450, descriptor: 30 + i32::from(last) }
}

/// One option a line, as a diff is read.
fn shown(machine: &Machine) -> String {
    let mut text = String::new();
    for word in command_line(machine) {
        text.push_str(if word.starts_with('-') { "\n" } else { " " });
        text.push_str(&word);
    }
    text.trim().to_owned()
}

#[test]
fn a_bios_machine_from_an_image() {
    insta::assert_snapshot!(shown(&machine()));
}

#[test]
fn a_uefi_machine_with_kvm_and_two_disks() {
    let mut machine = machine();
    machine.accelerator = Accelerator::Kvm;
    machine.firmware = BootFirmware::Uefi;
    machine.vcpus = 8;
    machine.disks.push(DiskArg {
        name: "data".into(),
        volume: "/var/lib/suigen/volumes/w".into(),
        direct: false,
        base: None,
    });
    insta::assert_snapshot!(shown(&machine));
}

#[test]
fn a_machine_with_two_interfaces() {
    let mut machine = machine();
    machine.interfaces = vec![interface(1), interface(2)];
    insta::assert_snapshot!(shown(&machine));
}

#[test]
fn interfaces_move_no_disk() {
    let disks = |machine: &Machine| -> Vec<String> {
        command_line(machine).into_iter().filter(|word| word.contains("id=disk0")).collect()
    };
    let alone = machine();
    let connected = Machine { interfaces: (0..8).map(interface).collect(), ..machine() };
    assert_eq!(disks(&alone), disks(&connected));
    assert_eq!(disks(&alone).len(), 2);
}

/// Guests name disks by their PCI addresses: `vda` is the boot disk.
#[test]
fn all_devices_have_addresses_of_their_own_and_the_first_boot_data_the_highest() {
    let mut machine = machine();
    machine.disks = vec![machine.disks[0].clone(); 16];
    machine.interfaces = (0..8).map(interface).collect();
    let mut ports = Vec::new();
    let mut chassis = std::collections::BTreeSet::new();
    for word in command_line(&machine) {
        let part = |name: &str| {
            word.split(',').find_map(|part| part.strip_prefix(name)).map(str::to_owned)
        };
        if word.starts_with("pcie-root-port") {
            chassis.insert(part("chassis=").unwrap());
            let address = part("addr=0x").unwrap().replace(".0x", ".");
            ports.push((address, part("id=").unwrap()));
        }
    }
    ports.sort_by_key(|(address, _)| u32::from_str_radix(&address.replace('.', ""), 16).unwrap());
    assert_eq!((ports.len(), chassis.len()), (25, 25), "{ports:?}");
    ports.dedup_by(|one, other| one.0 == other.0);
    assert_eq!(ports.len(), 25, "{ports:?}");
    assert_eq!(ports.last().unwrap().1, "first-boot-port");
    assert_eq!(ports[0], ("8.0".to_owned(), "net0-port".to_owned()));
}

#[test]
fn sixteen_disks_have_sixteen_addresses() {
    let mut machine = machine();
    machine.disks = vec![machine.disks[0].clone(); 16];
    let line = command_line(&machine);
    let ports = line.iter().filter(|word| word.starts_with("pcie-root-port,id=disk"));
    let addresses: std::collections::BTreeSet<&str> =
        ports.filter_map(|port| port.split(',').find(|part| part.starts_with("addr="))).collect();
    assert_eq!(addresses.len(), 16);
    assert!(addresses.contains("addr=0x11.0x7"));
}
