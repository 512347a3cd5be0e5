//! A server's interfaces and its first boot data, as its guest has them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use suigen_crds::ident::Uid;
use suigen_crds::net_ident::MacAddress;
use suigen_crds::server_image::Firmware;
use suigen_node_daemon::first_boot::{self, Subject, UserData};
use suigen_node_daemon::hypervisor::qemu::logs;
use suigen_node_daemon::hypervisor::qemu::process::{self, LaunchInterface, Process};
use suigen_node_daemon::hypervisor::qmp::client::Client;
use suigen_node_daemon::hypervisor::qmp::commands::Cont;
use suigen_node_daemon::network::ident::LinkName;
use suigen_node_daemon::network::netlink::netns::Namespace;
use suigen_node_daemon::network::tap::{self, Framing, NewTap};

use crate::capture::Capture;
use crate::lab::shell;
use crate::workshop::{PATIENCE, Workshop, uid, wait_for};

const MAC: [u8; 6] = [0x02, 0x53, 0, 0, 0, 0x0a];
/// The owner of the test's tap.
const OWNER: u32 = 200_000;
const MTU: u16 = 1400;

/// A tap that waits in a namespace of its own for a QEMU.
struct Wire {
    namespace: Namespace,
    name: LinkName,
}

impl Wire {
    fn new(port: &Uid) -> Self {
        let (namespace, name) = (Namespace::scratch().unwrap(), LinkName::tap(port));
        NewTap::create(&namespace, &name, OWNER).unwrap().keep().unwrap();
        shell(&namespace, &format!("ip link set {name} up"));
        Self { namespace, name }
    }

    fn open(&self) -> Result<OwnedFd, tap::Error> {
        tap::attach(&self.namespace, &self.name, Framing::Virtio)
    }

    fn interface(&self) -> LaunchInterface {
        LaunchInterface { mac: MacAddress::new(MAC), mtu: MTU, tap: self.open().unwrap() }
    }
}

async fn boot(shop: &Workshop, server: &Uid, incarnation: i64, process: &Process) {
    let socket = shop.paths.qmp_socket(server, incarnation);
    let connected = Client::connect(&socket, Duration::from_secs(20)).await;
    let log = || logs::tail(&shop.paths.qemu_log(server), 4096);
    let (client, _events) = connected.unwrap_or_else(|error| panic!("{error}: {}", log()));
    client.execute(Cont {}).await.unwrap();
    let serial = shop.paths.serial_log(server);
    let prompts = usize::try_from(incarnation).unwrap();
    wait_for("the prompt", || logs::tail(&serial, 1 << 20).matches("tiny# ").count() >= prompts);
    assert!(process.pid() > 0);
}

/// Runs a line in the guest's shell; gives all that the console shows until a
/// mark after it.
fn guest(shop: &Workshop, server: &Uid, incarnation: i64, line: &str) -> String {
    let mut console = UnixStream::connect(shop.paths.serial_socket(server, incarnation)).unwrap();
    console.set_read_timeout(Some(PATIENCE)).unwrap();
    // The echo of the line must not look like the mark.
    writeln!(console, "{line}; echo all do''ne").unwrap();
    let (mut shown, mut part) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&shown).contains("all done") {
        let read = console.read(&mut part);
        let read = read.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&shown)));
        assert!(read > 0, "the console closed: {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&part[..read]);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_guest_speaks_through_its_tap_and_finds_it_again_after_a_restart() {
    let Some(shop) = Workshop::new() else { return };
    let (server, disk) = (uid(9), uid(10));
    let Some(()) = shop.volume_of_tiny(&disk) else { return };
    let wire = Wire::new(&uid(11));
    for (incarnation, firmware) in [(1, Firmware::Bios), (2, Firmware::Uefi)] {
        let capture = Capture::begin(&wire.namespace);
        let mut launch = shop.launch(&server, incarnation, &disk);
        launch.interfaces = vec![wire.interface()];
        launch.firmware = firmware;
        let process = process::launch(&shop.paths, &launch).unwrap();
        drop(launch);
        boot(&shop, &server, incarnation, &process).await;
        let mut asked = false;
        wait_for("a DHCP request of the guest", || {
            asked |= capture.take().iter().any(|seen| is_dhcp_request(&seen.frame));
            asked
        });
        let eth0 = guest(&shop, &server, incarnation, "ip link show eth0");
        assert!(eth0.contains("02:53:00:00:00:0a") && eth0.contains("mtu 1400"), "{eth0}");
        // The daemon has let go of the tap, QEMU has not.
        assert_eq!(wire.open().unwrap_err().reason(), "TapBusy");
        process.kill().unwrap();
        process.exited().await;
        process::clean(&shop.paths, &server, incarnation).unwrap();
        assert!(shell(&wire.namespace, "ip -o link").contains(wire.name.as_str()), "the tap waits");
    }
}

/// UDP from port 68 to port 67, from the guest's address.
fn is_dhcp_request(frame: &[u8]) -> bool {
    frame.get(6..12) == Some(&MAC)
        && frame.get(12..14) == Some(&[0x08, 0x00])
        && frame.get(23) == Some(&17)
        && frame.get(34..38) == Some(&[0, 68, 0, 67])
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_first_boot_data_is_the_guests_last_disk_and_goes_with_the_server() {
    let Some(shop) = Workshop::new() else { return };
    let (server, disk) = (uid(12), uid(13));
    let Some(()) = shop.volume_of_tiny(&disk) else { return };
    let mut launch = shop.launch(&server, 1, &disk);
    launch.first_boot = first_boot::image(&first_boot::files(&Subject {
        server: &server,
        name: "web-1",
        interfaces: &[],
        keys: &[],
        user_data: Some(UserData::new(b"#cloud-config\n# tr0ub4dor\n".to_vec())),
    }))
    .unwrap();
    let process = process::launch(&shop.paths, &launch).unwrap();
    boot(&shop, &server, 1, &process).await;

    let serials = "for disk in vda vdb; do echo $disk $(cat /sys/block/$disk/serial); done";
    let shown = guest(&shop, &server, 1, serials);
    assert!(shown.contains("vda root\r\n") && shown.contains("vdb cidata\r\n"), "{shown}");
    // Where FAT12 and FAT16 have their label, which cloud-init looks for.
    let label = "echo label $(dd if=/dev/vdb bs=1 skip=43 count=11 2>/dev/null)";
    let shown = guest(&shop, &server, 1, label);
    assert!(shown.contains("label CIDATA\r\n"), "{shown}");
    let read = "grep -o 'local-hostname.*' /dev/vdb; grep -o 'tr0ub4.*' /dev/vdb; \
                echo read-only $(cat /sys/block/vdb/ro)";
    let shown = guest(&shop, &server, 1, read);
    assert!(shown.contains("local-hostname: \"web-1\"\r\n"), "{shown}");
    assert!(shown.contains("tr0ub4dor\r\n"), "{shown}");
    assert!(shown.contains("read-only 1\r\n"), "{shown}");

    let image = shop.paths.first_boot(&server);
    let meta = fs::metadata(&image).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o400);
    assert!(meta.uid() >= OWNER, "its QEMU's own");
    let mut line = String::new();
    let path = format!("/proc/{}/cmdline", process.pid());
    fs::File::open(path).unwrap().read_to_string(&mut line).unwrap();
    assert!(!line.contains("tr0ub4dor"));
    let spec = fs::read_to_string(shop.paths.jail_spec(&server, 1)).unwrap();
    assert!(!spec.contains("tr0ub4dor"));

    process.kill().unwrap();
    process.exited().await;
    process::clean(&shop.paths, &server, 1).unwrap();
    assert!(image.exists(), "it is as it was until the right is released");
    process::remove_server(&shop.paths, &server).unwrap();
    assert!(!image.exists());
}
