use super::*;

struct Source {
    dir: tempfile::TempDir,
    digest: String,
}

fn source() -> Source {
    let dir = tempfile::tempdir().unwrap();
    let description = "{\"qemuVersion\":\"10.0.2\"}";
    let sha = hex::encode(Sha256::digest(description));
    let manifest = format!("f 644 {sha} BUNDLE.json\nd 755 bin\nl ../BUNDLE.json bin/link\n");
    let digest = hex::encode(Sha256::digest(&manifest))[..DIGEST_LENGTH].to_owned();
    let bundle = dir.path().join(&digest);
    fs::create_dir(&bundle).unwrap();
    fs::write(bundle.join("BUNDLE.json"), description).unwrap();
    fs::write(bundle.join("MANIFEST"), manifest).unwrap();
    Source { dir, digest }
}

fn node() -> (tempfile::TempDir, Paths) {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path().join("state"), dir.path().join("run"), "/nowhere");
    (dir, paths)
}

#[test]
fn a_bundle_is_laid_down_once_and_partial_copies_go() {
    let (source, (_dir, paths)) = (source(), node());
    let partial = paths.bundles().join(format!("{}.part", source.digest));
    fs::create_dir_all(partial.join("bin")).unwrap();
    let bundles = lay_down(source.dir.path(), &paths).unwrap();
    assert_eq!(bundles[0], Bundle { digest: source.digest.clone(), qemu_version: "10.0.2".into() });
    assert!(!partial.exists());
    let link = paths.bundle(&source.digest).join("bin/link");
    assert_eq!(fs::read_link(link).unwrap(), Path::new("../BUNDLE.json"));
    fs::remove_dir_all(source.dir.path().join(&source.digest).join("BUNDLE.json")).unwrap_err();
    fs::write(source.dir.path().join(&source.digest).join("BUNDLE.json"), "other").unwrap();
    assert_eq!(lay_down(source.dir.path(), &paths).unwrap(), bundles, "it is there already");
}

#[test]
fn a_damaged_bundle_never_gets_its_name() {
    let (source, (_dir, paths)) = (source(), node());
    fs::write(source.dir.path().join(&source.digest).join("BUNDLE.json"), "other").unwrap();
    let error = lay_down(source.dir.path(), &paths).unwrap_err();
    assert_eq!(error.reason(), "BundleDamaged");
    assert!(error.to_string().contains("BUNDLE.json has another digest"), "{error}");
    assert_eq!(installed(&paths).unwrap(), []);
}

#[test]
fn no_source_is_no_bundle_and_older_ones_come_last() {
    let (source, (dir, paths)) = (source(), node());
    assert_eq!(lay_down(&dir.path().join("missing"), &paths).unwrap(), []);
    let older = "0".repeat(DIGEST_LENGTH);
    fs::create_dir_all(paths.bundle(&older)).unwrap();
    fs::write(paths.bundle(&older).join("BUNDLE.json"), "{\"qemuVersion\":\"10.0.1\"}").unwrap();
    let bundles = lay_down(source.dir.path(), &paths).unwrap();
    let digests: Vec<&str> = bundles.iter().map(|b| b.digest.as_str()).collect();
    assert_eq!(digests, [source.digest.as_str(), older.as_str()]);
}
