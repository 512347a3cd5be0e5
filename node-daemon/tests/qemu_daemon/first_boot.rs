//! What a server waits for besides its disks: user data and interfaces.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use suigen_node_daemon::operator_client::Operator;
use suigen_node_daemon::vm::event::Event;

use crate::daemon::{SERVER, Scene};
use crate::life::kill;
use crate::operator::FakeOperator;
use crate::workshop::wait_for;

const SECRET: &str = "#cloud-config\npassword: tr0ub4dor\n";

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_server_waits_for_its_user_data_which_nothing_but_its_guest_sees() {
    let Some(mut scene) = Scene::new().await else { return };
    let operator = FakeOperator::serve();
    let token = scene.shop.paths.run().join("token");
    fs::write(&token, "projected\n").unwrap();
    scene.operator = Operator { address: operator.address.to_string(), token };
    scene.api.change(SERVER, |server| server["spec"]["userDataSecretName"] = json!("web-1"));
    let declined = json!({"reason": "UserDataSecretNotFound", "message": "there is no Secret"});
    operator.answer(404, &declined.to_string());

    let daemon = scene.daemon();
    daemon.see(&scene);
    wait_for("the reason", || scene.runtime()["reason"] == "CaUnavailable");
    scene.api.put(
        "/api/v1/namespaces/suigen-system/configmaps/suigen-ca",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "suigen-ca"},
            "data": {"ca.crt": operator.ca}}),
    );
    wait_for("the reason", || scene.runtime()["reason"] == "UserDataSecretNotFound");
    let said = scene.runtime();
    assert_eq!(
        (&said["state"], &said["message"]),
        (&json!("Preparing"), &json!("there is no Secret"))
    );
    assert!(scene.pids().is_empty());

    let given = json!({"userData": STANDARD.encode(SECRET)});
    operator.answer(200, &given.to_string());
    scene.wait_for_state("Running");
    let first = scene.runtime();
    assert_eq!(first["firstBootDigest"].as_str().map(str::len), Some(64), "{first}");
    let asked = format!(
        "/node/v1/namespaces/acme/virtualservers/web-1/first-boot?uid={}&epoch=1 Bearer projected",
        scene.server
    );
    assert!(
        operator.requests().iter().all(|request| *request == asked),
        "{:?}",
        operator.requests()
    );
    let image = scene.shop.paths.first_boot(&scene.server);
    assert!(contains(&fs::read(&image).unwrap(), b"tr0ub4dor"));
    let kept = fs::read_to_string(scene.shop.paths.incarnation_record(&scene.server)).unwrap();
    assert!(!kept.contains("tr0ub4dor"));
    assert!(!serde_json::to_string(&scene.api.writes(SERVER)).unwrap().contains("tr0ub4dor"));

    // The next start has what the Secret says then.
    operator.answer(200, "{}");
    kill(&scene);
    wait_for("the second run", || scene.runtime()["incarnation"] == 2);
    scene.wait_for_state("Running");
    assert_ne!(scene.runtime()["firstBootDigest"], first["firstBootDigest"]);
    assert!(!contains(&fs::read(&image).unwrap(), b"tr0ub4dor"));

    // The next daemon knows it from the record.
    let said = scene.runtime();
    daemon.end().await;
    let daemon = scene.daemon();
    daemon.see(&scene);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(scene.runtime(), said);
    scene.api.change(SERVER, |server| {
        server["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    daemon.see(&scene);
    scene.wait_for_state("Released");
    assert!(!image.exists());
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_a_server_waits_for_its_interfaces() {
    let Some(scene) = Scene::new().await else { return };
    scene.api.change(SERVER, |server| {
        server["spec"]["networkInterfaces"] = json!([{"name": "eth0", "tenantNetworkName": "web"}]);
    });
    let daemon = scene.daemon();
    daemon.see(&scene);
    wait_for("the reason", || scene.runtime()["reason"] == "InterfaceNotGiven");
    scene.api.change(SERVER, |server| {
        server["status"]["interfaces"] = json!([{"name": "eth0", "tenantNetworkName": "web",
            "networkUid": "0a000000-0000-4000-8000-000000000001", "vni": 5000, "mtu": 1450,
            "macAddress": "02:00:00:00:00:01", "addresses": ["10.20.0.10"]}]);
    });
    daemon.registry.tell(&scene.server, Event::Woken);
    // No networks in this laboratory: that is said, and nothing starts without.
    wait_for("the reason", || scene.runtime()["reason"] == "NetworksNotReady");
    assert_eq!(scene.runtime()["state"], "Preparing");
    assert!(scene.pids().is_empty());
    daemon.end().await;
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
