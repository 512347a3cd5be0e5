//! A QEMU of the bundle, locked up as a node would lock it up, with the guest
//! `tiny` on its disk, its console and its QMP socket at hand.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use suigen_e2e::artifact::{bundle, cache::Cache, guest_tiny};
use tempfile::TempDir;

/// Longest time that anything in a guest may take, on a machine that builds beside it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Mounts what a bundle leaves to its user, then becomes QEMU without rights.
const ENTER: &str = r#"
set -eu
bundle=$1 run=$2
shift 2
mount -t tmpfs dev "$bundle/dev"
mknod -m 666 "$bundle/dev/null" c 1 3
mount --bind "$run" "$bundle/run/suigen"
exec chroot --userspec=64001:64001 "$bundle" /usr/bin/qemu-system-x86_64 "$@"
"#;

const ARGUMENTS: &str = "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
    -M pc-q35-10.0 -accel tcg,thread=multi -smp 2 -m 256 -nodefaults -display none \
    -action shutdown=pause,reboot=reset \
    -qmp unix:/run/suigen/qmp,server=on,wait=off \
    -chardev socket,id=console,path=/run/suigen/console,server=on,wait=on \
    -device isa-serial,chardev=console \
    -blockdev qcow2,node-name=disk,file.driver=file,file.filename=/run/suigen/disk,file.cache.direct=on \
    -device virtio-blk-pci,drive=disk,bootindex=0 -device virtio-rng-pci -device vmgenid";

const UEFI: &str = "-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
    -drive if=pflash,unit=1,format=raw,file=/run/suigen/nvram";

#[derive(Debug, Clone, Copy)]
pub enum Firmware {
    Bios,
    Uefi,
}

pub struct Machine {
    process: Child,
    console: UnixStream,
    unread: String,
    qmp: BufReader<UnixStream>,
    _run: TempDir,
}

impl Machine {
    pub fn start(firmware: Firmware) -> Self {
        let cache = Cache::open().unwrap();
        let bundle = only_child(&bundle::ensure(&cache).unwrap());
        let image = guest_tiny::ensure(&cache).unwrap().join("tiny.qcow2");
        let run = run_dir(&bundle, &image);
        let mut qemu = Command::new("unshare");
        qemu.args(["--mount", "sh", "-c", ENTER, "enter"]).arg(&bundle).arg(run.path());
        qemu.args(ARGUMENTS.split_whitespace());
        if matches!(firmware, Firmware::Uefi) {
            qemu.args(UEFI.split_whitespace());
        }
        let process = qemu.spawn().unwrap();
        let console = connect(&run.path().join("console"));
        console.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let qmp = connect(&run.path().join("qmp"));
        qmp.set_read_timeout(Some(PATIENCE)).unwrap();
        let qmp = BufReader::new(qmp);
        let mut machine = Self { process, console, unread: String::new(), qmp, _run: run };
        machine.read_qmp();
        machine.command("qmp_capabilities");
        machine
    }

    /// Waits for the line that says the guest is up, then for its prompt; returns the boot's id.
    pub fn wait_until_up(&mut self) -> String {
        self.read_until("tiny: up after ");
        self.read_until(", boot ");
        let id = self.read_until("\n").trim().to_owned();
        self.read_until("tiny# ");
        id
    }

    /// Types a line without waiting for anything.
    pub fn type_line(&mut self, line: &str) {
        writeln!(self.console, "{line}").unwrap();
    }

    /// Runs a command in the guest's shell and returns what it printed.
    pub fn shell(&mut self, line: &str) -> String {
        self.type_line(line);
        self.read_until("\n");
        let said = self.read_until("tiny# ");
        said.trim_end_matches("tiny# ").trim().replace('\r', "")
    }

    /// Whatever the console shows within a time.
    pub fn overhear(&mut self, time: Duration) -> String {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.hear();
        }
        std::mem::take(&mut self.unread)
    }

    /// Runs a QMP command that takes no arguments.
    pub fn command(&mut self, name: &str) {
        writeln!(self.qmp.get_mut(), "{}", json!({ "execute": name })).unwrap();
    }

    /// Waits for a QMP event, and returns its data.
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            let mut message = self.read_qmp();
            if message["event"] == name {
                return message["data"].take();
            }
        }
    }

    fn read_qmp(&mut self) -> Value {
        let mut line = String::new();
        self.qmp.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn read_until(&mut self, mark: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.unread.find(mark) {
                let rest = self.unread.split_off(at + mark.len());
                return std::mem::replace(&mut self.unread, rest);
            }
            assert!(Instant::now() < end, "no {mark:?} on the console: {:?}", self.unread);
            self.hear();
        }
    }

    fn hear(&mut self) {
        let mut bytes = [0; 4096];
        match self.console.read(&mut bytes) {
            Ok(0) => panic!("the console ended: {:?}", self.unread),
            Ok(length) => self.unread.push_str(&String::from_utf8_lossy(&bytes[..length])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("read the console: {error}"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The directory that is `/run/suigen` inside: the disk, the NVRAM, and room for sockets.
fn run_dir(bundle: &Path, image: &Path) -> TempDir {
    let run = tempfile::tempdir().unwrap();
    fs::set_permissions(run.path(), Permissions::from_mode(0o777)).unwrap();
    let nvram = bundle.join("usr/share/OVMF/OVMF_VARS_4M.fd");
    for (from, to) in [(image, "disk"), (nvram.as_path(), "nvram")] {
        fs::copy(from, run.path().join(to)).unwrap();
        fs::set_permissions(run.path().join(to), Permissions::from_mode(0o666)).unwrap();
    }
    run
}

fn only_child(dir: &Path) -> PathBuf {
    let mut entries = fs::read_dir(dir).unwrap();
    entries.next().unwrap().unwrap().path()
}

fn connect(socket: &Path) -> UnixStream {
    let end = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < end, "{}: {error}", socket.display()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
