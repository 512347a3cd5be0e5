//! What an interface is given, and what is said when it is not.

use serde_json::{Value, json};
use suigen_crds::condition::{Status, find};

use super::model::{Api, given, ready};
use crate::fixtures::{self, all, over, placed, said};
use crate::placement::ledger::Ledger;
use crate::virtual_server::decide::plan;
use crate::virtual_server::plan::Plan;

fn change<K: serde::Serialize + serde::de::DeserializeOwned>(object: &mut K, with: Value) {
    let mut value = serde_json::to_value(&*object).unwrap();
    over(&mut value, with);
    *object = serde_json::from_value(value).unwrap();
}

fn decided(api: &Api, server: &str) -> Plan {
    plan(&api.look(server, &mut Ledger::default()))
}

/// The condition `InterfacesReady`, and how the whole server stands.
fn shown(api: &Api, server: &str) -> String {
    let words = decided(api, server).words;
    let found = |type_| words.findings.iter().find(|f| f.type_ == type_).unwrap();
    let (said, ready) = (found("InterfacesReady"), found("Ready"));
    assert!(said.reason != ready.reason || said.message == ready.message);
    format!("{:?}/{}: {}", words.phase, said.reason, said.message)
}

fn with(interfaces: &Value) -> Api {
    let mut api = Api::new();
    api.add("web", interfaces);
    api
}

fn eth0(more: Value) -> Value {
    json!([all([json!({"name": "eth0", "tenantNetworkName": "blue"}), more])])
}

fn asks(addresses: &[&str]) -> Api {
    with(&eth0(json!({"addresses": addresses})))
}

#[test]
fn what_is_given_is_claimed_first_and_written_with_the_placement() {
    let api = with(&json!([
        {"name": "eth0", "tenantNetworkName": "blue"},
        {"name": "eth1", "tenantNetworkName": "blue", "addresses": ["10.20.0.9"],
            "macAddress": "52:54:00:00:00:01"},
    ]));
    let plan = decided(&api, "web");
    let right = plan.place.as_ref().unwrap();
    let [first, second] = &right.interfaces[..] else { panic!("two interfaces") };
    assert!(first.mac_address.to_string().starts_with("02:"));
    assert_eq!((first.addresses.len(), first.mtu, first.vni.get()), (1, 1450, 5000));
    assert_eq!(second.mac_address.to_string(), "52:54:00:00:00:01");
    assert_eq!(second.addresses[0].to_string(), "10.20.0.9");
    let claimed: Vec<_> = right.claims.iter().map(|c| c.port_name.as_str()).collect();
    assert_eq!(claimed, ["web.eth0", "web.eth1"]);
    let order: Vec<_> = plan.steps().iter().map(|step| word(&format!("{step:?}"))).collect();
    assert_eq!(order, ["Claim", "Claim", "Place", "Attach", "Host", "Port", "Port"]);
}

fn word(step: &str) -> String {
    step.chars().take_while(|c| c.is_ascii_alphanumeric()).collect()
}

#[test]
fn a_network_that_is_not_there_or_not_ready_is_waited_for() {
    let mut api = with(&json!([{"name": "eth0", "tenantNetworkName": "red"}]));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Pending/TenantNetworkNotFound: networkInterfaces[eth0].tenantNetworkName: there is no TenantNetwork "red" in this namespace: create it"#);
    assert!(decided(&api, "web").place.is_none());
    api = with(&eth0(json!({})));
    change(api.networks.get_mut("blue").unwrap(), ready("False"));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Pending/TenantNetworkNotReady: networkInterfaces[eth0].tenantNetworkName: TenantNetwork "blue" is not ready: it is looked at"#);
    change(api.networks.get_mut("blue").unwrap(), json!({"status": null}));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Pending/TenantNetworkNotReady: networkInterfaces[eth0].tenantNetworkName: TenantNetwork "blue" is being looked at"#);
    change(api.networks.get_mut("blue").unwrap(), all([ready("True"), fixtures::deleted()]));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Pending/TenantNetworkTerminating: networkInterfaces[eth0].tenantNetworkName: TenantNetwork "blue" is being deleted: create it again when it is gone, or create the server with another"#);
}

#[test]
fn an_address_that_cannot_be_is_refused_with_what_can() {
    insta::assert_snapshot!(shown(&asks(&["10.30.0.5"]), "web"), @r#"Failed/AddressOutsideSubnet: networkInterfaces[eth0].addresses: 10.30.0.5 is outside TenantNetwork "blue", which has 10.20.0.0/24: create the server with an address inside, or with none"#);
    insta::assert_snapshot!(shown(&asks(&["10.20.0.1"]), "web"), @"Failed/AddressReserved: networkInterfaces[eth0].addresses: 10.20.0.1 is the gateway of the subnet: create the server with another address");
    insta::assert_snapshot!(shown(&asks(&["10.20.0.255"]), "web"), @"Failed/AddressReserved: networkInterfaces[eth0].addresses: 10.20.0.255 is the last address of the subnet, which means everybody in it: create the server with another address");
    insta::assert_snapshot!(shown(&asks(&["10.20.0.5", "10.20.0.6"]), "web"), @r#"Failed/TwoAddressesInOneSubnet: networkInterfaces[eth0].addresses: two addresses of subnet "v4": an interface has at most one of each; use another interface for the second"#);
    let twice = with(&json!([
        {"name": "eth0", "tenantNetworkName": "blue", "addresses": ["10.20.0.5"]},
        {"name": "eth1", "tenantNetworkName": "blue", "addresses": ["10.20.0.5"]},
    ]));
    insta::assert_snapshot!(shown(&twice, "web"), @r#"Failed/AddressTaken: networkInterfaces[eth1].addresses: 10.20.0.5 is asked for by interface "eth0" of this server too: create the server with another"#);
    let mut flat = asks(&["10.20.0.5"]);
    change(flat.networks.get_mut("blue").unwrap(), json!({"spec": {"subnets": []}}));
    insta::assert_snapshot!(shown(&flat, "web"), @r#"Failed/AddressOutsideSubnet: networkInterfaces[eth0].addresses: 10.20.0.5 is outside TenantNetwork "blue", which has no subnets: create the server without addresses, or add a subnet to the network"#);
}

#[test]
fn without_subnets_there_is_no_address() {
    let mut flat = with(&eth0(json!({})));
    change(flat.networks.get_mut("blue").unwrap(), json!({"spec": {"subnets": []}}));
    let plan = decided(&flat, "web");
    let right = plan.place.unwrap();
    assert!(right.interfaces[0].addresses.is_empty() && right.claims.is_empty());
}

#[test]
fn what_another_server_has_is_named_with_that_server() {
    let mut api = asks(&["10.20.0.5"]);
    let theirs = json!({"spec": {"portName": "db.eth0", "serverUid": fixtures::LOG}});
    api.claims.insert("blue.10.20.0.5".into(), fixtures::claim(theirs));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Pending/AddressTaken: networkInterfaces[eth0].addresses: 10.20.0.5 of TenantNetwork "blue" is in use by server db: delete that server, or create this one with another address"#);

    let mut api = with(&eth0(json!({"macAddress": "02:00:00:00:00:01"})));
    let theirs = json!({"spec": {"serverName": "db", "serverUid": fixtures::LOG}});
    api.ports.insert("db.eth0".into(), fixtures::port(theirs));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Pending/MacAddressTaken: networkInterfaces[eth0].macAddress: 02:00:00:00:00:01 is in use by server db in TenantNetwork "blue": delete that server, or create this one with another address"#);

    let mut both =
        json!([{"name": "eth0", "tenantNetworkName": "blue", "macAddress": "02:00:00:00:00:01"}]);
    both.as_array_mut().unwrap().push(
        json!({"name": "eth1", "tenantNetworkName": "blue", "macAddress": "02:00:00:00:00:01"}),
    );
    insta::assert_snapshot!(shown(&with(&both), "web"), @"Failed/MacAddressTaken: networkInterfaces[eth1].macAddress: 02:00:00:00:00:01 is the address of another interface of this server in the same network: create the server with another");
}

#[test]
fn a_full_network_says_so_and_heals_when_an_address_is_freed() {
    let mut api = with(&eth0(json!({})));
    let small = json!({"spec": {"subnets": [{"name": "v4", "cidr": "10.20.0.0/30", "gateway": "10.20.0.1"}]}});
    change(api.networks.get_mut("blue").unwrap(), small);
    let theirs = json!({"spec": {"address": "10.20.0.2", "portName": "db.eth0", "serverUid": fixtures::LOG}});
    api.claims.insert("blue.10.20.0.2".into(), fixtures::claim(theirs));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Pending/NoFreeAddress: networkInterfaces[eth0].addresses: TenantNetwork "blue" has no free address: delete a server that is in it, or add a subnet to it"#);
    let next = decided(&api, "web").next();
    assert!(matches!(next, crate::outcome::Outcome::Wait { reason: "FreedByOthers", .. }));
    api.claims.clear();
    assert_eq!(decided(&api, "web").place.unwrap().claims[0].address.to_string(), "10.20.0.2");
}

/// A claim that an earlier look, which was cut off, made for the server.
fn cut_off(api: &mut Api, address: &str, port: &str) {
    let uid = api.servers["web"].metadata.uid.clone();
    let ours = json!({"spec": {"address": address, "portName": port, "serverUid": uid}});
    api.claims.insert(format!("blue.{address}"), fixtures::claim(ours));
}

#[test]
fn what_was_claimed_for_an_interface_is_what_it_gets() {
    let mut api = with(&eth0(json!({})));
    let unclaimed = decided(&api, "web").place.unwrap().interfaces[0].addresses[0];
    for address in ["10.20.0.17", "10.20.0.18"] {
        assert_ne!(unclaimed.to_string(), address);
        api.claims.clear();
        cut_off(&mut api, address, "web.eth0");
        let right = decided(&api, "web").place.unwrap();
        assert_eq!(right.interfaces[0].addresses[0].to_string(), address);
    }
    api.claims.clear();
    cut_off(&mut api, &unclaimed.to_string(), "web.eth1");
    let right = decided(&api, "web").place.unwrap();
    assert_ne!(right.interfaces[0].addresses[0], unclaimed, "it is another interface's");
}

#[test]
fn a_claim_in_a_network_that_was_replaced_is_dropped_first() {
    let mut api = with(&eth0(json!({})));
    cut_off(&mut api, "10.20.0.17", "web.eth0");
    assert!(decided(&api, "web").drop_claims.is_empty());
    change(api.networks.get_mut("blue").unwrap(), json!({"metadata": {"uid": fixtures::LOG}}));
    change(
        api.segments.get_mut("vni-5000").unwrap(),
        json!({"spec": {"network": {"uid": fixtures::LOG}}}),
    );
    let plan = decided(&api, "web");
    let order: Vec<_> = plan.steps().iter().map(|step| word(&format!("{step:?}"))).collect();
    assert_eq!(order[..3], ["DropClaim", "Claim", "Place"]);
}

#[test]
fn a_server_that_is_off_and_never_was_on_claims_nothing() {
    let mut api = with(&eth0(json!({})));
    api.change("web", json!({"spec": {"powerState": "PoweredOff"}}));
    let plan = decided(&api, "web");
    assert!(plan.place.is_none() && plan.steps().is_empty(), "{:?}", plan.steps());
    insta::assert_snapshot!(shown(&api, "web"), @"Stopped/NotPlaced: its interfaces get addresses when the server is placed, and are bound there");
}

/// A server on node-a with its port.
fn held(epoch: i64) -> Api {
    let mut api = with(&eth0(json!({})));
    api.change("web", json!({"metadata": {"uid": fixtures::SERVER}}));
    api.change("web", all([placed(epoch), said(epoch, "Running"), given()]));
    let binding = json!({"spec": {"binding": {"nodeName": "node-a", "epoch": epoch}}});
    api.ports.insert("web.eth0".into(), fixtures::port(binding));
    api.claims.insert("blue.10.20.0.5".into(), fixtures::claim(json!({})));
    change(
        api.segments.get_mut("vni-5000").unwrap(),
        json!({"status": {"phase": "InUse", "hosts": ["node-a"]}}),
    );
    api
}

#[test]
fn a_bound_server_needs_no_write_and_is_ready() {
    let api = held(1);
    let plan = decided(&api, "web");
    let writes: Vec<_> = plan.steps().iter().map(|step| word(&format!("{step:?}"))).collect();
    assert_eq!(writes, ["Attach"], "the disk of this model is never attached");
    insta::assert_snapshot!(shown(&api, "web"), @"Running/PortsBound: all interfaces are bound to node-a");
}

#[test]
fn a_port_is_bound_again_only_under_a_higher_epoch() {
    let mut api = held(1);
    api.change("web", json!({"status": {"placement": {"nodeName": "node-b", "epoch": 2}}}));
    let plan = decided(&api, "web");
    let steps = format!("{:?}", plan.wiring);
    assert!(steps.contains("Bind") && steps.contains("node-b"), "{steps}");
    insta::assert_snapshot!(shown(&api, "web"), @"Preparing/BindingPorts: its interfaces are being bound to node-b");
    let newer = json!({"spec": {"binding": {"nodeName": "node-a", "epoch": 3}}});
    change(api.ports.get_mut("web.eth0").unwrap(), newer);
    assert!(decided(&api, "web").wiring.ports.is_empty(), "the store of servers lags behind");
}

#[test]
fn a_port_in_trouble_shows_in_the_server() {
    let mut api = held(2);
    let trouble = |epoch: i64| {
        json!({"status": {"nodeName": "node-a", "epoch": epoch, "state": "Failed",
        "reason": "ForeignLink", "message": "vx5000 is somebody else's"}})
    };
    change(api.ports.get_mut("web.eth0").unwrap(), trouble(1));
    assert!(shown(&api, "web").contains("PortsBound"), "an older word does not count");
    change(api.ports.get_mut("web.eth0").unwrap(), trouble(2));
    insta::assert_snapshot!(shown(&api, "web"), @"Running/ForeignLink: networkInterfaces[eth0].name: node-a: vx5000 is somebody else's");
    let plan = decided(&api, "web");
    assert!(plan.a_port_is_in_trouble());
    let ready = plan.words.findings.iter().find(|finding| finding.type_ == "Ready").unwrap();
    assert_eq!((ready.status, ready.reason), (Status::False, "ForeignLink"), "though it runs");
}

#[test]
fn a_port_of_an_earlier_server_of_that_name_is_waited_for() {
    let mut api = held(1);
    change(api.ports.get_mut("web.eth0").unwrap(), json!({"spec": {"serverUid": fixtures::LOG}}));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Running/PortNameTaken: networkInterfaces[eth0].name: an earlier server named "web" still has its port on node-a: this one goes on when the port is gone"#);
    assert!(decided(&api, "web").wiring.ports.is_empty());
    change(
        api.ports.get_mut("web.eth0").unwrap(),
        all([json!({"spec": {"serverUid": fixtures::SERVER}}), fixtures::deleted()]),
    );
    insta::assert_snapshot!(shown(&api, "web"), @"Running/PortIsBeingDeleted: networkInterfaces[eth0].name: its NetworkPort was deleted by somebody, and is made again when node-a has removed it: power the server off and on");
}

#[test]
fn a_segment_that_is_not_the_networks_gets_no_port() {
    for foreign in [
        json!({"status": {"phase": "Releasing"}}),
        json!({"spec": {"network": {"uid": fixtures::LOG}}}),
        fixtures::deleted(),
    ] {
        let mut api = held(1);
        api.ports.clear();
        change(api.segments.get_mut("vni-5000").unwrap(), foreign);
        assert!(shown(&api, "web").contains("SegmentNotReady"), "{}", shown(&api, "web"));
        assert!(decided(&api, "web").wiring.ports.is_empty());
    }
}

#[test]
fn interfaces_are_kept_for_life_and_not_chosen_again() {
    let mut api = held(1);
    api.change("web", said(1, "Refused"));
    let right = decided(&api, "web").place.unwrap();
    assert_eq!(right.placement.epoch.0, 2);
    assert_eq!(right.interfaces[0].addresses[0].to_string(), "10.20.0.5");
    assert_eq!(right.claims.len(), 1, "asked for anew, as a store may lag");
    change(api.networks.get_mut("blue").unwrap(), json!({"metadata": {"uid": fixtures::LOG}}));
    insta::assert_snapshot!(shown(&api, "web"), @r#"Failed/TenantNetworkReplaced: networkInterfaces[eth0].tenantNetworkName: TenantNetwork "blue" is another one than the server was placed in: create another VirtualServer and give it the disks"#);
}

#[test]
fn a_deleted_server_waits_for_its_ports_then_gives_back_its_addresses() {
    let mut api = held(1);
    api.change("web", all([fixtures::deleted(), said(1, "Released")]));
    let plan = decided(&api, "web");
    assert_eq!(plan.delete_ports, ["web.eth0"]);
    assert!(plan.drop_claims.is_empty());
    let said: Vec<_> = plan.words.findings.iter().map(|finding| finding.reason).collect();
    assert!(said.contains(&"PortsRemain"), "{said:?}");
    api.ports.clear();
    let order: Vec<_> =
        decided(&api, "web").steps().iter().map(|s| word(&format!("{s:?}"))).collect();
    assert_eq!(order[order.len() - 3..], ["NoPortLeft", "FreeClaim", "LetGo"]);
}

#[test]
fn ready_is_said_by_a_condition_that_people_know() {
    let plan = decided(&with(&json!([])), "web");
    let conditions = suigen_crds::condition::conclude(
        plan.words.findings,
        &[],
        Some(1),
        jiff::Timestamp::UNIX_EPOCH,
    );
    assert_eq!(find(&conditions, "InterfacesReady").unwrap().reason, "NoInterfaces");
}
