use super::*;
use crate::first_boot;

fn good() -> Launch {
    Launch {
        server: "0a000000-0000-4000-8000-00000000000f".to_owned().try_into().unwrap(),
        name: "acme/web-1".into(),
        epoch: Epoch(1),
        incarnation: 1,
        bundle: "b".into(),
        vcpus: 1,
        memory_bytes: 1 << 28,
        cpu_floor_millis: 500,
        acceleration: Acceleration::SoftwareEmulation,
        firmware: Firmware::Bios,
        disks: vec![],
        interfaces: vec![],
        first_boot: first_boot::image(&[]).unwrap(),
    }
}

#[test]
fn each_start_is_another_generation_also_when_the_count_starts_anew() {
    let first = generation_id(&good());
    assert_eq!(first, generation_id(&good()));
    assert_ne!(first, generation_id(&Launch { incarnation: 2, ..good() }));
    assert_ne!(first, generation_id(&Launch { epoch: Epoch(2), ..good() }));
    assert!(Uid::try_from(first).is_ok(), "a UUID");
}

#[test]
fn what_is_not_understood_is_not_started() {
    assert!(machine(&good()).is_ok());
    let bad = [
        Launch { acceleration: Acceleration::None, ..good() },
        Launch { acceleration: Acceleration::Unknown, ..good() },
        Launch { firmware: Firmware::Unknown, ..good() },
        Launch { vcpus: 0, ..good() },
        Launch { memory_bytes: -1, ..good() },
    ];
    for launch in bad {
        assert_eq!(machine(&launch).unwrap_err().reason(), "NotUnderstood", "{launch:?}");
    }
}

#[test]
fn a_name_cannot_add_options() {
    assert_eq!(plain("acme/web-1,sandbox=off"), "acme/web-1sandboxoff");
}
