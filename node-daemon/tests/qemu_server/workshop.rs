//! A node in miniature: directories, a cgroup, a bundle; gone after the test.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use suigen_crds::disk::ImageSource;
use suigen_crds::hypervisor::Acceleration;
use suigen_crds::ident::{Epoch, Uid};
use suigen_crds::server_image::{Firmware, ImageFormat};
use suigen_node_daemon::first_boot::{self, Subject};
use suigen_node_daemon::host::bundle;
use suigen_node_daemon::host::cgroup::Cgroup;
use suigen_node_daemon::host::paths::Paths;
use suigen_node_daemon::hypervisor::qemu::process::{self, Launch, LaunchDisk};
use suigen_node_daemon::storage::image_tool::ImageTool;
use suigen_node_daemon::storage::volume::{self, VolumeRequest};
use tokio_util::sync::CancellationToken;

use crate::web::Web;

/// Longest time that anything in a guest may take, on a machine that builds beside it.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Workshop {
    pub paths: Paths,
    pub bundle: String,
    pub tool: ImageTool,
    dir: tempfile::TempDir,
}

impl Workshop {
    /// None where the bundle is not given, which is said.
    pub fn new() -> Option<Self> {
        let given = environment("SUIGEN_TEST_BUNDLE")?;
        let dir = tempfile::tempdir().unwrap();
        let cgroup = cgroup_v2().join(format!(
            "suigen-test-{}-{}",
            std::process::id(),
            dir.path().file_name().unwrap().to_string_lossy().trim_start_matches('.')
        ));
        let paths = Paths::new(dir.path().join("state"), dir.path().join("run"), cgroup)
            .with_program(env!("CARGO_BIN_EXE_node-daemon"));
        let bundles = bundle::lay_down(given.parent().unwrap(), &paths).unwrap();
        let bundle = bundles[0].digest.clone();
        let tool = ImageTool::new(paths.clone(), &bundle);
        Some(Self { paths, bundle, tool, dir })
    }

    pub fn bundle_dir(&self) -> PathBuf {
        self.paths.bundle(&self.bundle)
    }

    /// Makes a volume from the guest `tiny`, as a daemon would.
    pub fn volume_of_tiny(&self, disk: &Uid) -> Option<()> {
        let tiny = environment("SUIGEN_TEST_TINY")?;
        let web = Web::serve(tiny.parent().unwrap());
        let source = ImageSource {
            url: web.url(&tiny.file_name().unwrap().to_string_lossy()),
            sha256: web.sha256(&tiny),
            format: ImageFormat::Qcow2,
            firmware: Firmware::Bios,
        };
        let request = VolumeRequest {
            disk: disk.clone(),
            size_bytes: 1 << 30,
            image: Some(source),
            existed_before: false,
        };
        volume::ensure(&self.tool, &request, &CancellationToken::new()).unwrap();
        Some(())
    }

    pub fn launch(&self, server: &Uid, incarnation: i64, disk: &Uid) -> Launch {
        Launch {
            server: server.clone(),
            name: "acme/web-1".into(),
            epoch: Epoch::FIRST,
            incarnation,
            bundle: self.bundle.clone(),
            vcpus: 2,
            memory_bytes: 256 << 20,
            cpu_floor_millis: 500,
            acceleration: Acceleration::SoftwareEmulation,
            firmware: Firmware::Bios,
            disks: vec![LaunchDisk { name: "root".into(), volume: disk.clone() }],
            interfaces: vec![],
            first_boot: first_boot::image(&first_boot::files(&Subject {
                server,
                name: "web-1",
                interfaces: &[],
                keys: &[],
                user_data: None,
            }))
            .unwrap(),
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        for found in process::find(&self.paths).unwrap() {
            process::clean(&self.paths, &found.server, found.incarnation).unwrap();
        }
        for server in (0..16).map(uid) {
            process::remove_server(&self.paths, &server).unwrap();
        }
        Cgroup::at(self.paths.cgroup()).remove(Duration::from_secs(5)).unwrap();
        assert!(self.dir.path().exists());
    }
}

pub fn uid(last: u8) -> Uid {
    format!("0a000000-0000-4000-8000-0000000000{last:02x}").try_into().unwrap()
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn environment(name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(name) {
        assert!(Path::new(&path).exists(), "{name}: {} does not exist", path.display());
        return Some(path.into());
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} must be set where CI is true");
    println!("skipped: {name} is not set");
    None
}

fn cgroup_v2() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    mount.and_then(|line| line.split(' ').nth(1)).unwrap().into()
}
