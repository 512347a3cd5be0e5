//! A guest in place of QEMU: reads and writes the frames of a tap.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use suigen_node_daemon::network::desired::Port;
use suigen_node_daemon::network::ident::MacAddress;

use crate::frames::{self, BROADCAST, contains};

/// Two cores may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Guest {
    tap: File,
    pub mac: MacAddress,
    pub address: Ipv4Addr,
}

impl Guest {
    pub fn new(fd: OwnedFd, port: &Port) -> Self {
        let address = *port.addresses.first().unwrap();
        Self { tap: File::from(fd), mac: port.mac, address }
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.tap.write_all(frame).unwrap();
    }

    /// Sends UDP with a payload, as a guest may.
    pub fn say(&mut self, to: (MacAddress, Ipv4Addr), payload: &[u8]) {
        let packet = frames::ipv4(self.address, to.1, 17, &frames::udp(7, 7, payload));
        self.send(&frames::ethernet(self.mac, to.0, 0x0800, &packet));
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 65_536];
        match self.tap.read(&mut frame) {
            Ok(length) => {
                frame.truncate(length);
                Some(frame)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("read the tap: {error}"),
        }
    }

    /// All frames up to the one that is looked for, which is the last.
    pub fn until(&mut self, what: &str, found: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        let mut frames = Vec::new();
        while Instant::now() < deadline {
            match self.receive() {
                Some(frame) => {
                    let done = found(&frame);
                    frames.push(frame);
                    if done {
                        return frames;
                    }
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("{what} did not arrive; {} other frames did", frames.len());
    }

    pub fn hears(&mut self, marker: &[u8]) -> Vec<Vec<u8>> {
        self.until(&String::from_utf8_lossy(marker), |frame| contains(frame, marker))
    }

    /// All that is there now.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.receive()).collect()
    }
}

/// One guest finds another by ARP and pings it with some payload.
pub fn ping(from: &mut Guest, to: &mut Guest, payload: &[u8]) {
    let (asks, has) = ((from.mac, from.address), (to.mac, to.address));
    let request = frames::arp(1, asks, (MacAddress::new([0; 6]), to.address));
    from.send(&frames::ethernet(from.mac, BROADCAST, 0x0806, &request));
    to.until("the ARP request", |frame| contains(frame, &request));
    let reply = frames::arp(2, has, asks);
    to.send(&frames::ethernet(to.mac, from.mac, 0x0806, &reply));
    from.until("the ARP reply", |frame| contains(frame, &reply));
    let ask = frames::ipv4(from.address, to.address, 1, &frames::echo(8, payload));
    from.send(&frames::ethernet(from.mac, to.mac, 0x0800, &ask));
    to.until("the echo request", |frame| contains(frame, &ask));
    let answer = frames::ipv4(to.address, from.address, 1, &frames::echo(0, payload));
    to.send(&frames::ethernet(to.mac, from.mac, 0x0800, &answer));
    from.until("the echo reply", |frame| contains(frame, &answer));
}
