//! Control groups (version 2) of the servers: one an incarnation, outside the
//! daemon's pod, so that what runs in it outlives the pod.
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Controllers that an incarnation makes use of where the kernel offers them.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "io"];

/// Why something cannot be done with a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file or directory of the cgroup file system did not obey.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Processes are still there long after they were killed.
    #[error("{} still has processes {} s after they were killed; they probably wait for storage", path.display(), waited.as_secs())]
    StillPopulated {
        /// The cgroup.
        path: PathBuf,
        /// How long they were waited for.
        waited: Duration,
    },
}

impl CgroupError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "CgroupFailed",
            Self::StillPopulated { .. } => "ProcessDoesNotEnd",
        }
    }
}

/// One cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The cgroup at `path`, whether it exists or not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file to which a process writes `0` to join.
    #[must_use]
    pub fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Whether it exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Creates it and its ancestors up to `root`, and passes controllers down
    /// as far as the kernel lets it. May be called again.
    ///
    /// # Errors
    /// When a directory cannot be created. A controller that cannot be passed
    /// on is not an error here: qualification says what is missing.
    pub fn create(&self, root: &Path) -> Result<(), CgroupError> {
        fs::create_dir_all(&self.path)
            .map_err(|source| self.error("create", &self.path, source))?;
        let mut above: Vec<&Path> =
            self.path.ancestors().skip(1).take_while(|path| path.starts_with(root)).collect();
        above.extend(root.parent());
        above.sort_unstable();
        for cgroup in above {
            for controller in CONTROLLERS {
                let _ = fs::write(cgroup.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        Ok(())
    }

    /// Sets a limit or weight, where the controller for it is there; says
    /// whether it is.
    ///
    /// # Errors
    /// When the kernel refuses the value.
    pub fn set(&self, file: &str, value: &str) -> Result<bool, CgroupError> {
        let path = self.path.join(file);
        if !path.exists() {
            return Ok(false);
        }
        fs::write(&path, value).map_err(|source| self.error("write", &path, source))?;
        Ok(true)
    }

    /// The processes in it; none if it does not exist.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        let path = self.procs();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect()),
            Err(error) if is_gone(&error) => Ok(Vec::new()),
            Err(source) => Err(self.error("read", &path, source)),
        }
    }

    /// Names of the cgroups directly below.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn children(&self) -> Result<Vec<String>, CgroupError> {
        let error = |source| self.error("list", &self.path, source);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(gone) if is_gone(&gone) => return Ok(Vec::new()),
            Err(source) => return Err(error(source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(error)?;
            if entry.path().is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Kills all processes in it at once, also those being forked. Nothing
    /// happens if it does not exist.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let path = self.path.join("cgroup.kill");
        match fs::write(&path, "1") {
            Err(error) if !is_gone(&error) => Err(self.error("write", &path, error)),
            _ => Ok(()),
        }
    }

    /// Removes it when its processes have ended, which it waits for until
    /// `patience` is over. Nothing happens if it does not exist.
    ///
    /// # Errors
    /// [`CgroupError::StillPopulated`] when they have not; others when the
    /// kernel refuses.
    pub fn remove(&self, patience: Duration) -> Result<(), CgroupError> {
        let start = Instant::now();
        loop {
            match fs::remove_dir(&self.path) {
                Ok(()) => return Ok(()),
                Err(error) if is_gone(&error) => return Ok(()),
                Err(busy) if busy.kind() == io::ErrorKind::ResourceBusy => {}
                Err(source) => return Err(self.error("remove", &self.path, source)),
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Err(CgroupError::StillPopulated { path: self.path.clone(), waited });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn error(&self, action: &'static str, path: &Path, source: io::Error) -> CgroupError {
        CgroupError::Io { action, path: path.to_owned(), source }
    }
}

/// A file of a removed cgroup fails with `ENODEV` when it was open before.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}
