//! Takes a lab down, whatever state it is in.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Lab, Lock};
use crate::progress::step;

/// Ends every process of the lab in `dir` and removes all that it left; true
/// if there was anything to remove.
pub fn down(dir: &Path) -> Result<bool> {
    if !dir.exists() {
        return Ok(false);
    }
    let _lock = Lock::take(dir)?;
    let Some(lab) = Lab::find(dir)? else {
        // An `up` that ended before it began may have left it, empty.
        let _ = fs::remove_dir(dir);
        return Ok(false);
    };
    step("end the lab's processes", || end(&lab))?;
    step("remove the lab's files", || remove(&lab))?;
    Ok(true)
}

/// By record first, then by cgroup: what units left behind on purpose, such
/// as guests, has no record here.
fn end(lab: &Lab) -> Result<()> {
    let units = lab.path("units");
    if units.is_dir() {
        for entry in fs::read_dir(&units)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "json")
                && let Some(name) = path.file_stem()
            {
                lab.unit(&name.to_string_lossy()).stop()?;
            }
        }
    }
    lab.cgroup.destroy()
}

/// The state goes last: until then a second `down` knows what to do.
fn remove(lab: &Lab) -> Result<()> {
    for entry in fs::read_dir(&lab.dir)? {
        let entry = entry?;
        if entry.file_name() == "lab.json" {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    fs::remove_file(lab.path("lab.json"))?;
    fs::remove_dir(&lab.dir).with_context(|| format!("remove {}", lab.dir.display()))
}
