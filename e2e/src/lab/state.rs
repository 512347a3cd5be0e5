//! What a lab was made as, and the lock that lets one command change it at a time.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const FILE: &str = "lab.json";

/// The content of `lab.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Marks what the host can see of this lab.
    pub id: String,
    /// The port on the host's loopback that leads to the API server.
    pub api_port: u16,
    /// How many nodes it has.
    pub nodes: usize,
}

impl State {
    /// Reads the state; none where no lab was made.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes)
                    .with_context(|| format!("read {}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Decides what a new lab in `dir` is.
    pub fn new(dir: &Path, nodes: usize) -> Result<Self> {
        let place = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
        let id = hex::encode(Sha256::digest(place.as_os_str().as_encoded_bytes()))[..8].to_owned();
        Ok(Self { id, api_port: free_port()?, nodes })
    }

    /// Writes the state.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let partial = dir.join("lab.json.new");
        fs::write(&partial, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("write {}", partial.display()))?;
        fs::rename(partial, dir.join(FILE)).context("write lab.json")
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Held while a command changes a lab; a second such command waits.
#[derive(Debug)]
pub struct Lock {
    _dir: File,
}

impl Lock {
    /// Takes the lock of the lab in `dir`. The directory itself is locked, so
    /// no file of the lock's is left behind.
    pub fn take(dir: &Path) -> Result<Self> {
        let file = File::open(dir).with_context(|| format!("open {}", dir.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            println!("  another command is changing this lab: waiting for it");
            flock(&file, FlockOperation::LockExclusive).context("lock the lab")?;
        }
        Ok(Self { _dir: file })
    }
}
