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
    }
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
fn sixteen_disks_have_sixteen_addresses() {
    let mut machine = machine();
    machine.disks = vec![machine.disks[0].clone(); 16];
    let line = command_line(&machine);
    let ports = line.iter().filter(|word| word.starts_with("pcie-root-port"));
    let addresses: std::collections::BTreeSet<&str> =
        ports.filter_map(|port| port.split(',').find(|part| part.starts_with("addr="))).collect();
    assert_eq!(addresses.len(), 16);
    assert!(addresses.contains("addr=0x11.0x7"));
}
