//! Images that are not what they should be.

use std::fs;

use suigen_e2e::artifact::cache::Cache;
use suigen_e2e::scenario::manifest::Image;
use suigen_e2e::setup;

use crate::guest::Guest;
use crate::harness::Scenario;

/// Applies an image of `tiny`'s digest behind a file name of this test's own.
fn image(scenario: &Scenario, name: &str, minimum_disk: &str) -> setup::Tiny {
    let cache = Cache::open().expect("open the cache");
    let tiny = setup::tiny(&cache).expect("build the guest tiny");
    let url = format!("{}/{name}.qcow2", setup::FILE_SERVER);
    let image = Image { name, url: &url, sha256: &tiny.sha256, firmware: "Bios", minimum_disk };
    let _ =
        scenario.cluster.kubectl(&["delete", &format!("serverimage/{name}"), "--ignore-not-found"]);
    let _ = fs::remove_file(served(scenario, name));
    setup::replace_image(scenario.cluster, &image).expect("apply the image");
    tiny
}

fn served(scenario: &Scenario, name: &str) -> std::path::PathBuf {
    scenario.cluster.lab().expect("a lab").path("www").join(format!("{name}.qcow2"))
}

#[test]
fn e2e_a_wrong_checksum_is_never_booted_and_heals_with_the_right_file() {
    let scenario = Scenario::shared("checksum");
    let tiny = image(&scenario, "tampered", "64Mi");
    let mut content = fs::read(&tiny.file).expect("read the image");
    *content.last_mut().expect("the image is not empty") ^= 1;
    fs::write(served(&scenario, "tampered"), content).expect("publish a tampered image");
    let mut server = scenario.tiny("victim");
    server.image = "tampered";
    scenario.apply(&server.yaml());
    let said = scenario.says("disk/victim-root", "Ready", &["ImageChecksumMismatch", &tiny.sha256]);
    assert!(said.contains("tampered.qcow2"), "{said}");
    scenario.says("virtualserver/victim", "Ready", &["ImageChecksumMismatch"]);
    setup::publish(scenario.cluster, &tiny.file, "tampered.qcow2").expect("publish the true file");
    Guest::up(&scenario, "victim");
}

#[test]
fn e2e_an_unreachable_url_is_named_and_heals_when_it_answers() {
    let scenario = Scenario::shared("unreachable");
    let tiny = image(&scenario, "absent", "64Mi");
    let mut server = scenario.tiny("patient");
    server.image = "absent";
    scenario.apply(&server.yaml());
    scenario.says("disk/patient-root", "Ready", &["ImageUnreachable", "absent.qcow2", "404"]);
    setup::publish(scenario.cluster, &tiny.file, "absent.qcow2").expect("publish the file");
    Guest::up(&scenario, "patient");
}

#[test]
fn e2e_a_disk_smaller_than_the_images_minimum_is_refused_with_both_sizes() {
    let scenario = Scenario::shared("minimum");
    image(&scenario, "big", "10Gi");
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
    let tiny = image(&scenario, "liar", "1Mi");
    setup::publish(scenario.cluster, &tiny.file, "liar.qcow2").expect("publish the file");
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
    let cache = Cache::open().expect("open the cache");
    let file = served(&scenario, "sly");
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow"])
        .arg(&file)
        .arg("64M")
        .status()
        .expect("run qemu-img");
    assert!(made.success());
    let content = fs::read(&file).expect("read the image");
    let sha256 = {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(&content))
    };
    drop(cache);
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
