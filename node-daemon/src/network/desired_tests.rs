use super::super::fixtures::{HERE, network, port, remote};
use super::*;

fn refusals(networks: Vec<Network>) -> (Desired, Vec<&'static str>) {
    let (desired, refused) = Desired::admit(HERE, networks);
    (desired, refused.iter().map(Refusal::reason).collect())
}

#[test]
fn admit_takes_two_tenants_with_the_same_addresses() {
    let (desired, refused) = refusals(vec![network(1, "00000001"), network(2, "00000002")]);
    assert_eq!(refused, [] as [&str; 0]);
    assert_eq!(desired.ports().count(), 2);
}

#[test]
fn admit_refuses_a_vni_twice_and_keeps_the_first() {
    let (desired, refused) = refusals(vec![network(1, "00000001"), network(1, "00000002")]);
    assert_eq!(refused, ["VniTaken"]);
    assert_eq!(desired.ports().next(), Some(&port("00000001", 10)));
}

#[test]
fn admit_refuses_an_mtu_that_cannot_fit() {
    let with = |mtu| Network { mtu, ..network(1, "00000001") };
    assert_eq!(refusals(vec![with(1550)]).1, [] as [&str; 0]);
    assert_eq!(refusals(vec![with(1551)]).1, ["MtuTooLarge"]);
    assert_eq!(refusals(vec![with(u16::MAX)]).1, ["MtuTooLarge"]);
    assert_eq!(refusals(vec![with(575)]).1, ["MtuTooSmall"]);
    let (_, refused) = Desired::admit(HERE, vec![with(1551)]);
    assert_eq!(
        refused[0].to_string(),
        "network 0000000b-0000-4000-8000-000000000000: MTU 1551 does not fit: \
         the underlay carries 1600 bytes, 50 of which VXLAN takes"
    );
}

#[test]
fn admit_refuses_the_port_that_clashes_and_keeps_the_rest() {
    let with = |second: Port| {
        let mut network = network(1, "00000001");
        network.ports.push(second);
        network.ports.push(port("00000009", 99));
        let (desired, refused) = refusals(vec![network]);
        assert_eq!(desired.ports().count(), 2);
        refused
    };
    assert_eq!(with(Port { mac: port("00000000", 10).mac, ..port("00000002", 20) }), ["MacTaken"]);
    let stolen = port("00000000", 10).addresses;
    assert_eq!(with(Port { addresses: stolen, ..port("00000002", 20) }), ["AddressTaken"]);
    assert_eq!(with(port("00000001", 20)), ["TapNameTaken"]);
    let ours = Port { mac: MacAddress::SERVICE, ..port("00000002", 20) };
    assert_eq!(with(ours), ["InvalidMacAddress"]);
}

#[test]
fn admit_refuses_remote_ports_that_cannot_be() {
    let mut network = network(1, "00000001");
    network.remotes.push(remote(13, 1));
    network.remotes.push(remote(10, 2));
    network.remotes.push(remote(11, 4));
    let (desired, refused) = refusals(vec![network]);
    assert_eq!(refused, ["RemotePortIsHere", "MacTaken", "MacTaken"]);
    assert_eq!(desired.networks().next().unwrap().remotes, [remote(11, 2), remote(12, 3)]);
}
