//! Images as they come from outside.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use suigen_crds::disk::ImageSource;
use suigen_crds::ident::Sha256;
use suigen_crds::server_image::{Firmware, ImageFormat};
use suigen_node_daemon::storage::image::{self, Image};
use suigen_node_daemon::storage::volume::{self, VolumeRequest};
use tokio_util::sync::CancellationToken;

use crate::web::Web;
use crate::workshop::{Workshop, uid};

/// Makes an image with the bundle's own `qemu-img`; `outside` is bound to `/tmp` of the bundle.
fn make(shop: &Workshop, outside: &Path, arguments: &str) {
    let script = "mount --bind \"$2\" \"$1/tmp\" && cd / && exec chroot \"$1\" sh_is_missing";
    let script = script.replace("sh_is_missing", &format!("/usr/bin/qemu-img {arguments}"));
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &script, "make"])
        .arg(shop.bundle_dir())
        .arg(outside)
        .status()
        .unwrap();
    assert!(status.success());
}

fn source(web: &Web, dir: &Path, name: &str, format: ImageFormat) -> ImageSource {
    let sha256 = web.sha256(&dir.join(name));
    ImageSource { url: web.url(name), sha256, format, firmware: Firmware::Bios }
}

fn refused(shop: &Workshop, source: &ImageSource) -> &'static str {
    let error = image::ensure(&shop.tool, source, &CancellationToken::new()).unwrap_err();
    println!("{error}");
    assert!(!shop.paths.image(&source.sha256).exists(), "nothing of it stays");
    assert!(!shop.paths.image_record(&source.sha256).exists());
    error.reason()
}

#[test]
fn qemu_an_image_that_refers_to_other_files_is_refused() {
    let Some(shop) = Workshop::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    make(&shop, dir.path(), "create -q -f qcow2 -u -b /etc/shadow -F raw /tmp/backing 1M");
    make(&shop, dir.path(), "create -q -f qcow2 -o data_file=/tmp/elsewhere /tmp/data-file 1M");
    fs::write(dir.path().join("nonsense"), "not an image").unwrap();
    let web = Web::serve(dir.path());
    let qcow2 = |name: &str| source(&web, dir.path(), name, ImageFormat::Qcow2);
    assert_eq!(refused(&shop, &qcow2("backing")), "ImageRefersToOtherFiles");
    assert_eq!(refused(&shop, &qcow2("data-file")), "ImageRefersToOtherFiles");
    assert_eq!(refused(&shop, &qcow2("nonsense")), "ImageUnreadable");
    let unknown = source(&web, dir.path(), "nonsense", ImageFormat::Unknown);
    assert_eq!(refused(&shop, &unknown), "ImageFormatUnknown");
}

#[test]
fn qemu_an_image_with_another_digest_or_without_a_server_is_refused() {
    let Some(shop) = Workshop::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    make(&shop, dir.path(), "create -q -f qcow2 /tmp/good 1M");
    let web = Web::serve(dir.path());
    let mut bad = source(&web, dir.path(), "good", ImageFormat::Qcow2);
    bad.sha256 = Sha256::try_from("0".repeat(64)).unwrap();
    let error = image::ensure(&shop.tool, &bad, &CancellationToken::new()).unwrap_err();
    let digest = web.sha256(&dir.path().join("good"));
    let said = error.to_string();
    assert!(said.contains(digest.as_str()) && said.contains(&"0".repeat(64)), "{said}");
    assert_eq!(refused(&shop, &bad), "ImageChecksumMismatch");
    let missing = ImageSource { url: web.url("missing"), ..bad.clone() };
    assert_eq!(refused(&shop, &missing), "ImageUnreachable");
    let nobody = ImageSource { url: "http://127.0.0.1:1/x".into(), ..bad };
    assert_eq!(refused(&shop, &nobody), "ImageUnreachable");
}

#[test]
fn qemu_an_image_is_fetched_once_by_all_and_removed_when_unused() {
    let Some(shop) = Workshop::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    make(&shop, dir.path(), "create -q -f qcow2 /tmp/good 8M");
    let web = Web::serve(dir.path());
    let good = source(&web, dir.path(), "good", ImageFormat::Qcow2);
    let ensure = || image::ensure(&shop.tool, &good, &CancellationToken::new()).unwrap();
    let images: Vec<Image> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(ensure)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(images.iter().all(|image| image.virtual_size == 8 << 20));
    assert_eq!(web.requests(), 1);

    let request = VolumeRequest {
        disk: uid(9),
        size_bytes: 4 << 20,
        image: Some(good.clone()),
        existed_before: false,
    };
    let cancel = CancellationToken::new();
    let error = volume::ensure(&shop.tool, &request, &cancel).unwrap_err();
    assert_eq!(error.reason(), "ImageLargerThanDisk");
    let request = VolumeRequest { size_bytes: 16 << 20, ..request };
    volume::ensure(&shop.tool, &request, &cancel).unwrap();
    assert_eq!(image::collect(&shop.tool, Duration::ZERO).unwrap(), [], "a volume stands on it");

    fs::remove_file(shop.paths.volume(&uid(9))).unwrap();
    for existed_before in [true, false] {
        let request = VolumeRequest { existed_before, ..request.clone() };
        let error = volume::ensure(&shop.tool, &request, &cancel).unwrap_err();
        assert_eq!(error.reason(), "VolumeMissing", "never made anew");
    }
    volume::erase(&shop.paths, &uid(9)).unwrap();
    volume::erase(&shop.paths, &uid(9)).unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(image::collect(&shop.tool, hour).unwrap(), [], "asked for lately");
    assert_eq!(
        image::collect(&shop.tool, Duration::ZERO).unwrap(),
        std::slice::from_ref(&good.sha256)
    );
    assert!(!shop.paths.image(&good.sha256).exists());
}

#[test]
fn qemu_an_empty_volume_and_one_over_a_raw_image() {
    let Some(shop) = Workshop::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("raw"), vec![7; 1 << 20]).unwrap();
    let web = Web::serve(dir.path());
    let raw = source(&web, dir.path(), "raw", ImageFormat::Raw);
    let cancel = CancellationToken::new();
    for (disk, image) in [(uid(10), None), (uid(11), Some(raw))] {
        let request =
            VolumeRequest { disk: disk.clone(), size_bytes: 2 << 20, image, existed_before: false };
        volume::ensure(&shop.tool, &request, &cancel).unwrap();
        volume::ensure(&shop.tool, &request, &cancel).unwrap();
        assert!(volume::exists(&shop.paths, &disk));
    }
    assert_eq!(volume::base(&shop.paths, &uid(10)).unwrap(), None);
    assert!(volume::base(&shop.paths, &uid(11)).unwrap().is_some());
    cancel.cancel();
    let request = VolumeRequest { disk: uid(12), size_bytes: 1, image: None, existed_before: true };
    assert_eq!(
        volume::ensure(&shop.tool, &request, &cancel).unwrap_err().reason(),
        "VolumeMissing"
    );
}
