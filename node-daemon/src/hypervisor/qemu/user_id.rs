//! A user id of its own for each incarnation, so that a QEMU that was broken
//! out of cannot touch another. A claim is a symbolic link: it is made whole or
//! not at all, and never twice.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use suigen_crds::ident::Uid;

use crate::host::paths::Paths;

/// Ids for incarnations. Above what distributions give to people and services,
/// below the range of most container runtimes' user namespaces.
const RANGE: std::ops::RangeInclusive<u32> = 200_000..=265_535;
/// The id of tools that look at one file and end.
pub const TOOL: u32 = 199_999;

/// Claims a free user id for an incarnation whose run directory exists; the
/// one it has already, if it has one.
///
/// # Errors
/// When claims cannot be read or written, or all ids are taken.
pub fn claim(paths: &Paths, server: &Uid, incarnation: i64) -> io::Result<u32> {
    let dir = paths.user_ids();
    fs::create_dir_all(&dir)?;
    let wanted = target(server, incarnation);
    let mut taken = std::collections::BTreeSet::new();
    for (id, owner) in claims(&dir)? {
        if owner == wanted {
            return Ok(id);
        }
        // Left by a daemon that died between claiming and starting.
        if paths.runs().join(&owner).exists() {
            taken.insert(id);
        } else {
            remove(&dir, id)?;
        }
    }
    for id in RANGE.filter(|id| !taken.contains(id)) {
        match symlink(&wanted, dir.join(id.to_string())) {
            Ok(()) => return Ok(id),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("all user ids are taken"))
}

/// Frees the user id of an incarnation that has no process any more.
///
/// # Errors
/// When claims cannot be read or removed.
pub fn free(paths: &Paths, server: &Uid, incarnation: i64) -> io::Result<()> {
    let dir = paths.user_ids();
    let wanted = target(server, incarnation);
    for (id, owner) in claims(&dir)? {
        if owner == wanted {
            remove(&dir, id)?;
        }
    }
    Ok(())
}

fn target(server: &Uid, incarnation: i64) -> PathBuf {
    Path::new(server.as_str()).join(incarnation.to_string())
}

fn claims(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut claims = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match fs::read_link(entry.path()) {
            Ok(owner) => claims.push((id, owner)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(claims)
}

fn remove(dir: &Path, id: u32) -> io::Result<()> {
    match fs::remove_file(dir.join(id.to_string())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(last: char) -> Uid {
        format!("0a000000-0000-4000-8000-00000000000{last}").try_into().unwrap()
    }

    #[test]
    fn two_incarnations_never_share_an_id_and_freed_ones_are_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path(), dir.path(), dir.path());
        for (uid, incarnation) in [(server('a'), 1), (server('b'), 1), (server('c'), 1)] {
            fs::create_dir_all(paths.incarnation_run_dir(&uid, incarnation)).unwrap();
        }
        let first = claim(&paths, &server('a'), 1).unwrap();
        assert_eq!(claim(&paths, &server('a'), 1).unwrap(), first);
        let second = claim(&paths, &server('b'), 1).unwrap();
        assert_ne!(first, second);
        free(&paths, &server('a'), 1).unwrap();
        assert_eq!(claim(&paths, &server('c'), 1).unwrap(), first);
    }

    #[test]
    fn a_claim_without_a_run_directory_is_void() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path(), dir.path(), dir.path());
        let first = claim(&paths, &server('a'), 1).unwrap();
        assert_eq!(claim(&paths, &server('b'), 1).unwrap(), first);
    }
}
