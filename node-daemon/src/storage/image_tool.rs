//! `qemu-img` of a bundle, in a jail of its own for each call: it reads images
//! that come from outside, and is not trusted to survive them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use suigen_crds::ident::Sha256;

use crate::host::paths::Paths;
use crate::hypervisor::qemu::jail::{Bind, Limits, Spec};
use crate::hypervisor::qemu::user_id;

/// The program, in the jail.
const PROGRAM: &str = "/usr/bin/qemu-img";
/// What a call may take. It never copies data.
const LIMITS: Limits = Limits { memory_bytes: 2 << 30, cpu_seconds: 30, file_bytes: 64 << 20 };
/// How long a call may take; storage may be slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most output that is read, in bytes.
const MOST_OUTPUT: u64 = 1 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be started or watched.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It said no.
    #[error("qemu-img {command} failed ({status}): {said}")]
    Failed {
        /// Which of its commands.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote to standard error, at most a few lines.
        said: String,
    },
    /// It took too long and was killed.
    #[error("qemu-img {command} did not end within {} s", PATIENCE.as_secs())]
    TimedOut {
        /// Which of its commands.
        command: String,
    },
}

/// `qemu-img` of one bundle; also holds which images are in use right now.
/// Cheap to clone; the clones know of each other.
#[derive(Debug, Clone)]
pub struct ImageTool {
    paths: Paths,
    bundle: String,
    locks: Arc<Mutex<HashMap<Sha256, Arc<RwLock<()>>>>>,
}

impl ImageTool {
    /// The tool of the bundle with that digest, for the one daemon of these
    /// paths: what calls of an earlier one left is removed.
    #[must_use]
    pub fn new(paths: Paths, bundle: impl Into<String>) -> Self {
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_dir_all(paths.scratch());
        Self { paths, bundle: bundle.into(), locks: Arc::default() }
    }

    /// Where things are.
    #[must_use]
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Held shared by whoever uses an image, alone by whoever makes or removes it.
    pub(super) fn lock(&self, image: &Sha256) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(image.clone()).or_default())
    }

    /// Calls the tool and returns what it printed.
    pub(super) fn call(&self, arguments: &[&str], binds: Vec<Bind>) -> Result<String, ToolError> {
        let scratch = Scratch::new(&self.paths)?;
        let spec = Spec {
            root: self.paths.bundle(&self.bundle),
            cgroup_procs: None,
            user_id: user_id::TOOL,
            kvm: false,
            binds,
            descriptors: Vec::new(),
            limits: Some(LIMITS),
            argv: [&[PROGRAM], arguments].concat().into_iter().map(str::to_owned).collect(),
        };
        let file = scratch.dir.join("jail.json");
        let text = serde_json::to_vec(&spec).map_err(|e| io_error("write", &file)(e.into()))?;
        fs::write(&file, text).map_err(io_error("write", &file))?;
        let (out, err) = (scratch.dir.join("out"), scratch.dir.join("err"));
        let create = |path: &Path| File::create(path).map_err(io_error("create", path));
        let mut child = Command::new(self.paths.program())
            .arg("jail")
            .arg("--spec")
            .arg(&file)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(create(&out)?)
            .stderr(create(&err)?)
            .spawn()
            .map_err(io_error("run", self.paths.program()))?;
        let command = arguments.first().copied().unwrap_or_default();
        let status = wait(&mut child, command)?;
        if !status.success() {
            let said = read_bounded(&err, 1024)?.trim().to_owned();
            let (command, status) = (command.to_owned(), status.to_string());
            return Err(ToolError::Failed { command, status, said });
        }
        read_bounded(&out, MOST_OUTPUT)
    }
}

/// A directory that goes away with the call.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn new(paths: &Paths) -> Result<Self, ToolError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = paths.scratch().join(format!("{}.{number}", std::process::id()));
        // An earlier process with our number may have died within a call.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).map_err(io_error("create", &dir))?;
        Ok(Self { dir })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "left a scratch directory");
        }
    }
}

fn wait(child: &mut Child, command: &str) -> Result<std::process::ExitStatus, ToolError> {
    let failed = io_error("wait for", Path::new(PROGRAM));
    let end = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ToolError::TimedOut { command: command.to_owned() });
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

fn read_bounded(path: &Path, most: u64) -> Result<String, ToolError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(io_error("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError + use<> {
    let path = path.to_owned();
    move |source| ToolError::Io { action, path, source }
}
