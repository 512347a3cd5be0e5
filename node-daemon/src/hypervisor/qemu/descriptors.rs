//! Open files that a QEMU gets from the daemon: its taps, which it could not
//! open itself.
//!
//! The daemon opens everything to be closed on exec. A descriptor that is
//! handed down loses that in the child alone, after the fork: no other process
//! that the daemon starts meanwhile gets it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

/// Lets a command's process keep descriptors, under the same numbers. They must
/// be open until it was started.
pub(super) fn hand_down(command: &mut Command, descriptors: Vec<RawFd>) {
    if descriptors.is_empty() {
        return;
    }
    let keep = move || descriptors.iter().try_for_each(|number| set(*number, FdFlags::empty()));
    // SAFETY: between fork and exec the closure makes one system call a
    // descriptor, and neither allocates nor locks.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(keep);
    }
}

/// Marks all open files but standard ones and `kept` to be closed on exec, and
/// says if one of `kept` is not open.
pub(super) fn close_others(kept: &[RawFd]) -> io::Result<()> {
    let kept: BTreeSet<RawFd> = kept.iter().copied().collect();
    for number in &kept {
        set(*number, FdFlags::empty())?;
    }
    let numbers: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2 && !kept.contains(number))
        .collect();
    for number in numbers {
        // The directory that was listed is not open any more.
        let _ = set(number, FdFlags::CLOEXEC);
    }
    Ok(())
}

fn set(number: RawFd, flags: FdFlags) -> io::Result<()> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is only used to set a flag, within this call; if
    // nothing is open under it, the kernel says so.
    #[allow(unsafe_code)]
    let file = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(file, flags).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn only_what_is_handed_down_is_inherited() {
        let [handed, other] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
        let inherits = |descriptors: Vec<RawFd>, file: &tempfile::NamedTempFile| {
            let mut command = Command::new("ls");
            command.args(["-l", "/proc/self/fd"]);
            hand_down(&mut command, descriptors);
            let output = command.output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap().contains(file.path().to_str().unwrap())
        };
        let number = handed.as_file().as_raw_fd();
        assert!(inherits(vec![number], &handed));
        assert!(!inherits(vec![number], &other));
        assert!(!inherits(Vec::new(), &handed), "the daemon's own is still closed on exec");
    }

    #[test]
    fn what_is_not_open_cannot_be_handed_down() {
        let mut command = Command::new("true");
        hand_down(&mut command, vec![9999]);
        assert_eq!(command.status().unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(close_others(&[9999]).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
