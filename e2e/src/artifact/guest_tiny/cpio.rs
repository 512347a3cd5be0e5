//! Writes the archive a kernel unpacks as its first root: cpio in the `newc`
//! format (kernel documentation, "initramfs buffer format").
//!
//! Owners are root and times are zero whatever the host says, and device
//! nodes need no right to make them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive in the making.
#[derive(Debug)]
pub(super) struct Archive<W> {
    out: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    pub(super) fn dir(&mut self, name: &str) -> Result<()> {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[])
    }

    pub(super) fn char_device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(name, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    pub(super) fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.entry(name, LINK | 0o777, (0, 0), target.as_bytes())
    }

    /// Adds everything below a directory of the host, in name order.
    pub(super) fn tree(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let mut entries: Vec<_> = fs::read_dir(dir)
            .with_context(|| format!("list {}", dir.display()))?
            .collect::<std::io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let meta = entry.metadata()?;
            if meta.is_dir() {
                self.dir(&name)?;
                self.tree(&entry.path(), &format!("{name}/"))?;
            } else if meta.is_symlink() {
                self.link(&name, &fs::read_link(entry.path())?.to_string_lossy())?;
            } else {
                let executable = meta.permissions().mode() & 0o111 != 0;
                let mode = FILE | if executable { 0o755 } else { 0o644 };
                self.entry(&name, mode, (0, 0), &fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Ends the archive and gives back what it was written to.
    pub(super) fn finish(mut self) -> Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(data.len()).context("a file of 4 GiB does not fit")?;
        let name_size = u32::try_from(name.len() + 1).context("the name is too long")?;
        let (major, minor) = device;
        // inode, mode, uid, gid, links, time, size, device, special device, name size, checksum
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        header.push_str(name);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(data)
    }

    fn padded(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        let gap = bytes.len().next_multiple_of(4) - bytes.len();
        Ok(self.out.write_all(&[0; 3][..gap])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_to_four_bytes_and_closed_by_the_trailer() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "hello").unwrap();
        let mut archive = Archive::new(Vec::new());
        archive.char_device("dev/console", 5, 1).unwrap();
        archive.tree(dir.path(), "etc/").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("07070100000001000021800000000000000000"), "{text}");
        assert!(text.contains("etc/f\0hello\x00\x00\x00070701"), "{text}");
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text}");
    }
}
