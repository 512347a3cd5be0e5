//! The same guest on the same QEMU without Suigen: what the machine itself
//! takes for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::fleet::{MEMORY_MIB, is_up};
use super::now;
use super::process::Process;
use crate::artifact::bundle;
use crate::artifact::cache::Cache;
use crate::progress::wait_for;
use crate::setup::Tiny;

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

const ARGUMENTS: &str = "-M pc-q35-10.0,memory-backend=ram -accel tcg,thread=multi -smp 1 \
    -nodefaults -display none -serial file:/run/suigen/serial.log \
    -blockdev qcow2,node-name=disk,file.driver=file,file.filename=/run/suigen/disk \
    -device virtio-blk-pci,drive=disk,bootindex=0 -device virtio-rng-pci -device vmgenid";

/// Hang guard for all guests to be up.
const UP: Duration = Duration::from_secs(900);

/// Starts `count` guests at once, waits until all are up, ends them, and
/// returns how long each took from its process's start, in seconds.
pub fn boot(cache: &Cache, scratch: &Path, tiny: &Tiny, count: usize) -> Result<Vec<f64>> {
    let result = boot_all(cache, scratch, tiny, count);
    if scratch.exists() {
        fs::remove_dir_all(scratch).context("remove the guests started by hand")?;
    }
    result
}

fn boot_all(cache: &Cache, scratch: &Path, tiny: &Tiny, count: usize) -> Result<Vec<f64>> {
    let bundle = only_child(&bundle::ensure(cache)?)?;
    let prepared = (0..count).map(|number| {
        let run = scratch.join(number.to_string());
        prepare(&run, tiny).map(|()| run)
    });
    let prepared: Vec<PathBuf> = prepared.collect::<Result<_>>()?;
    let mut guests: Vec<Guest> =
        prepared.into_iter().map(|run| Guest::start(&bundle, run)).collect::<Result<_>>()?;
    wait_for("every guest started by hand", UP, || {
        for guest in &mut guests {
            guest.look()?;
        }
        Ok(guests.iter().all(|guest| guest.took.is_some()).then_some(()))
    })?;
    Ok(guests.iter().filter_map(|guest| guest.took).collect())
}

/// One QEMU; it ends with this value.
struct Guest {
    process: Child,
    run: PathBuf,
    started: f64,
    took: Option<f64>,
}

impl Guest {
    fn start(bundle: &Path, run: PathBuf) -> Result<Self> {
        let ram = format!("memory-backend-memfd,id=ram,size={MEMORY_MIB}M,share=on");
        let process = Command::new("unshare")
            .args(["--mount", "sh", "-c", ENTER, "enter"])
            .arg(bundle)
            .arg(&run)
            .args(["-object", &ram, "-m", &MEMORY_MIB.to_string()])
            .args(ARGUMENTS.split_whitespace())
            .stdin(Stdio::null())
            .spawn()
            .context("start a QEMU by hand")?;
        let mut guest = Self { process, run, started: 0.0, took: None };
        guest.started = Process { pid: guest.process.id(), arguments: vec![] }.started()?;
        Ok(guest)
    }

    fn look(&mut self) -> Result<()> {
        if self.took.is_none() && is_up(&self.run.join("serial.log")) {
            self.took = Some(now() - self.started);
        }
        match self.process.try_wait()? {
            Some(status) => anyhow::bail!("a QEMU started by hand ended with {status}"),
            None => Ok(()),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is `/run/suigen` for the guest: its disk, and room for its console.
fn prepare(run: &Path, tiny: &Tiny) -> Result<()> {
    let disk = run.join("disk");
    fs::create_dir_all(run).context("make room for a guest")?;
    fs::set_permissions(run, Permissions::from_mode(0o777))?;
    fs::copy(&tiny.file, &disk).context("copy the image")?;
    Ok(fs::set_permissions(&disk, Permissions::from_mode(0o666))?)
}

fn only_child(dir: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(dir).context("look into the bundle")?;
    Ok(entries.next().context("the bundle is empty")??.path())
}
