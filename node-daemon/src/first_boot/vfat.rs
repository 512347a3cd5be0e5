//! A FAT file system, without anything that time or place would change.

use std::io::{Cursor, Write as _};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions, format_volume};

use super::{File, FirstBootError, Image, digest};

/// By this label cloud-init knows its disk.
const LABEL: [u8; 11] = *b"CIDATA     ";
/// The same for all: it only tells file systems of one guest apart.
const VOLUME_ID: u32 = 0x5347_4349;
/// What the file system needs besides the files, with room to spare, in bytes.
const OVERHEAD: usize = 128 << 10;
/// Images are multiples of this, in bytes.
const STEP: usize = 64 << 10;

/// Makes the disk image.
///
/// # Errors
/// When the files do not fit into a file system.
pub fn image(files: &[File]) -> Result<Image, FirstBootError> {
    let length = files.iter().map(|file| file.content.len()).sum::<usize>() + OVERHEAD;
    let mut bytes = vec![0; length.next_multiple_of(STEP)];
    fill(&mut bytes, files).map_err(FirstBootError::Image)?;
    Ok(Image { bytes, digest: digest(files)? })
}

fn fill(bytes: &mut [u8], files: &[File]) -> std::io::Result<()> {
    let mut disk = Cursor::new(bytes);
    let options = FormatVolumeOptions::new().volume_label(LABEL).volume_id(VOLUME_ID);
    format_volume(&mut disk, options)?;
    let system = FileSystem::new(disk, FsOptions::new())?;
    for file in files {
        let mut entry = system.root_dir().create_file(file.name)?;
        entry.write_all(&file.content)?;
        entry.flush()?;
    }
    system.unmount()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn file(name: &'static str, content: Vec<u8>) -> File {
        File { name, content }
    }

    fn read(image: &Image) -> Vec<(String, Vec<u8>)> {
        let disk = Cursor::new(image.bytes().to_vec());
        let system = FileSystem::new(disk, FsOptions::new()).unwrap();
        assert_eq!(system.volume_label(), "CIDATA");
        assert_eq!(system.read_volume_label_from_root_dir().unwrap().unwrap(), "CIDATA");
        let entries = system.root_dir().iter().map(Result::unwrap).collect::<Vec<_>>();
        let content = |entry: &fatfs::DirEntry<'_, Cursor<Vec<u8>>>| {
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content).unwrap();
            (entry.file_name(), content)
        };
        entries.iter().map(content).collect()
    }

    #[test]
    fn what_is_written_is_read_whatever_its_size() {
        for length in [0, 1, 511, 4096, 65_536, 512 << 10, (1 << 20) + 7] {
            let content: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let files = [file("meta-data", b"m".to_vec()), file("user-data", content.clone())];
            let image = image(&files).unwrap();
            let found = read(&image);
            assert_eq!(found[0], ("meta-data".to_owned(), b"m".to_vec()), "{length}");
            assert_eq!(found[1], ("user-data".to_owned(), content), "{length}");
            assert!(image.bytes().len() <= length + (256 << 10), "{length}");
        }
    }

    #[test]
    fn the_same_files_are_the_same_bytes_and_others_another_digest() {
        let one = image(&[file("meta-data", b"a".to_vec())]).unwrap();
        assert_eq!(one, image(&[file("meta-data", b"a".to_vec())]).unwrap());
        for other in
            [vec![file("meta-data", b"b".to_vec())], vec![file("user-data", b"a".to_vec())], vec![]]
        {
            assert_ne!(one.digest(), image(&other).unwrap().digest());
        }
    }
}
