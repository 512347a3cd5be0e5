use super::*;

fn disk() -> Uid {
    "0a000000-0000-4000-8000-00000000000f".to_owned().try_into().unwrap()
}

fn node() -> (tempfile::TempDir, Paths) {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path().join("state"), dir.path().join("run"), "/nowhere");
    (dir, paths)
}

/// A volume as an earlier daemon left it.
fn leave_volume(paths: &Paths, record: &str) {
    fs::create_dir_all(paths.volume_dir(&disk())).unwrap();
    fs::write(paths.volume(&disk()), "data").unwrap();
    fs::write(paths.volume_record(&disk()), record).unwrap();
}

#[test]
fn the_record_on_disk_keeps_its_form() {
    let (_dir, paths) = node();
    let sha256 = "ab".repeat(32);
    let record = format!(r#"{{"sizeBytes":1,"image":{{"sha256":"{sha256}","format":"Qcow2"}}}}"#);
    leave_volume(&paths, &record);
    let (image, format) = base(&paths, &disk()).unwrap().unwrap();
    assert_eq!((image.as_str(), format), (sha256.as_str(), BaseFormat::Qcow2));
    assert_eq!(used_images(&paths).unwrap().into_iter().collect::<Vec<_>>(), [image]);
    fs::write(paths.volume_record(&disk()), r#"{"sizeBytes":1,"image":null}"#).unwrap();
    assert_eq!(base(&paths, &disk()).unwrap(), None);
}

#[test]
fn a_damaged_record_keeps_all_images() {
    let (_dir, paths) = node();
    leave_volume(&paths, "{");
    assert_eq!(used_images(&paths).unwrap_err().reason(), "VolumeDamaged");
}

#[test]
fn a_volume_that_is_there_is_left_as_it_is_and_one_that_was_is_missed() {
    let (_dir, paths) = node();
    let tool = ImageTool::new(paths.clone(), "none");
    let request = VolumeRequest { disk: disk(), size_bytes: 1, image: None, existed_before: true };
    let ensure = |request: &VolumeRequest| ensure(&tool, request, &CancellationToken::new());
    assert_eq!(ensure(&request).unwrap_err().reason(), "VolumeMissing");
    leave_volume(&paths, "{}");
    for existed_before in [true, false] {
        ensure(&VolumeRequest { existed_before, ..request.clone() }).unwrap();
    }
    assert_eq!(fs::read(paths.volume(&disk())).unwrap(), b"data");
    fs::remove_file(paths.volume(&disk())).unwrap();
    let forgotten = VolumeRequest { existed_before: false, ..request };
    assert_eq!(ensure(&forgotten).unwrap_err().reason(), "VolumeMissing");
}

#[test]
fn an_erased_volume_leaves_nothing_also_after_a_crash() {
    let (_dir, paths) = node();
    erase(&paths, &disk()).unwrap();
    leave_volume(&paths, "{}");
    fs::create_dir_all(aside(&paths, &disk(), "part")).unwrap();
    fs::create_dir_all(aside(&paths, &disk(), "erased").join("rest")).unwrap();
    erase(&paths, &disk()).unwrap();
    assert_eq!(fs::read_dir(paths.volumes()).unwrap().count(), 0);
}
