//! Images that are not what they should be.

use std::fs;

use sha2::{Digest, Sha256};
use suigen_e2e::artifact::cache::Cache;
use suigen_e2e::scenario::manifest::Image;
use suigen_e2e::setup;

use crate::guest::Guest;
use crate::harness::Scenario;

/// An image that no node has fetched yet.
struct Unseen {
    content: Vec<u8>,
    sha256: String,
}

/// Announces an image of this test's own: `tiny` with a few bytes after its
/// end, so that its digest is new. Nothing is served behind its URL yet.
fn announce(scenario: &Scenario, name: &str, minimum_disk: &str) -> Unseen {
    let tiny = Cache::open().and_then(|cache| setup::tiny(&cache)).expect("build the guest tiny");
    let mut content = fs::read(&tiny.file).expect("read the image");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the clock is right");
    content.extend_from_slice(format!("{name} {}", now.as_nanos()).as_bytes());
    let sha256 = hex::encode(Sha256::digest(&content));
    let url = format!("{}/{name}.qcow2", setup::FILE_SERVER);
    let image = Image { name, url: &url, sha256: &sha256, firmware: "Bios", minimum_disk };
    let _ = fs::remove_file(served(scenario, name));
    setup::replace_image(scenario.cluster, &image).expect("apply the image");
    Unseen { content, sha256 }
}

/// Serves a file behind an image's URL.
fn serve(scenario: &Scenario, name: &str, content: &[u8]) {
    let arriving = served(scenario, name).with_extension("arriving");
    fs::write(&arriving, content).expect("write the file");
    fs::rename(&arriving, served(scenario, name)).expect("serve the file");
}

fn served(scenario: &Scenario, name: &str) -> std::path::PathBuf {
    scenario.cluster.lab().expect("a lab").path("www").join(format!("{name}.qcow2"))
}

#[test]
fn e2e_a_wrong_checksum_is_never_booted_and_heals_with_the_right_file() {
    let scenario = Scenario::shared("checksum");
    let image = announce(&scenario, "tampered", "64Mi");
    let mut tampered = image.content.clone();
    *tampered.last_mut().expect("the image is not empty") ^= 1;
    serve(&scenario, "tampered", &tampered);
    let mut server = scenario.tiny("victim");
    server.image = "tampered";
    scenario.apply(&server.yaml());
    let said =
        scenario.says("disk/victim-root", "Ready", &["ImageChecksumMismatch", &image.sha256]);
    assert!(said.contains("tampered.qcow2"), "{said}");
    scenario.says("virtualserver/victim", "Ready", &["ImageChecksumMismatch"]);
    serve(&scenario, "tampered", &image.content);
    Guest::up(&scenario, "victim");
}

#[test]
fn e2e_an_unreachable_url_is_named_and_heals_when_it_answers() {
    let scenario = Scenario::shared("unreachable");
    let image = announce(&scenario, "absent", "64Mi");
    let mut server = scenario.tiny("patient");
    server.image = "absent";
    scenario.apply(&server.yaml());
    scenario.says("disk/patient-root", "Ready", &["ImageUnreachable", "absent.qcow2", "404"]);
    serve(&scenario, "absent", &image.content);
    Guest::up(&scenario, "patient");
}

#[test]
fn e2e_a_disk_smaller_than_the_images_minimum_is_refused_with_both_sizes() {
    let scenario = Scenario::shared("minimum");
    announce(&scenario, "big", "10Gi");
    let mut server = scenario.tiny("small");
    server.image = "big";
    scenario.apply(&server.yaml());
    scenario.says("disk/small-root", "Ready", &["ImageLargerThanDisk", "10 GiB", "256 MiB"]);
    scenario.says("virtualserver/small", "Stalled", &["ImageLargerThanDisk"]);
    scenario.delete("virtualserver/small");
}

#[test]
fn e2e_an_image_larger_than_the_disk_is_found_out_even_if_its_minimum_lies() {
    let scenario = Scenario::shared("liar");
    let image = announce(&scenario, "liar", "1Mi");
    serve(&scenario, "liar", &image.content);
    let mut server = scenario.tiny("tight");
    server.image = "liar";
    server.size = "16Mi";
    scenario.apply(&server.yaml());
    scenario.says("disk/tight-root", "Ready", &["ImageLargerThanDisk"]);
    scenario.delete("virtualserver/tight");
}

#[test]
fn e2e_an_image_that_refers_to_other_files_is_refused() {
    let scenario = Scenario::shared("backing");
    let file = served(&scenario, "sly");
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow"])
        .arg(&file)
        .arg("64M")
        .status()
        .expect("run qemu-img");
    assert!(made.success());
    let content = fs::read(&file).expect("read the image");
    let sha256 = hex::encode(Sha256::digest(&content));
    let url = format!("{}/sly.qcow2", setup::FILE_SERVER);
    let image =
        Image { name: "sly", url: &url, sha256: &sha256, firmware: "Bios", minimum_disk: "64Mi" };
    setup::replace_image(scenario.cluster, &image).expect("apply the image");
    let mut server = scenario.tiny("prey");
    server.image = "sly";
    scenario.apply(&server.yaml());
    scenario.says("disk/prey-root", "Ready", &["ImageRefersToOtherFiles"]);
    scenario.delete("virtualserver/prey");
}
