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

#[test]
fn decide_which_networks_are_not_as_they_were() {
    let admitted = |vnis: &[u32], change: &dyn Fn(&mut Network)| {
        let networks = vnis.iter().map(|&vni| {
            let mut network = network(vni, &format!("{vni:08x}"));
            change(&mut network);
            network
        });
        Desired::admit(HERE, networks.collect()).0
    };
    let as_is = |_: &mut Network| {};
    let before = admitted(&[10, 20, 30, 40], &as_is);
    let changed = |now: &Desired| -> Vec<u32> {
        let changed = now.changed_since(&before);
        assert_eq!(changed, before.changed_since(now));
        changed.into_iter().map(Vni::get).collect()
    };
    assert_eq!(changed(&before.clone()), [0; 0]);
    assert_eq!(changed(&admitted(&[10, 20, 30, 40], &as_is)), [0; 0]);
    assert_eq!(changed(&admitted(&[], &as_is)), [10, 20, 30, 40]);
    assert_eq!(changed(&admitted(&[20, 30, 40], &as_is)), [10]);
    assert_eq!(changed(&admitted(&[10, 20, 30], &as_is)), [40]);
    assert_eq!(changed(&admitted(&[10, 30, 35, 40, 50], &as_is)), [20, 35, 50]);
    let changes: [&dyn Fn(&mut Network); 7] = [
        &|network| network.mtu = 1400,
        &|network| network.ports[0].owner = 1,
        &|network| network.ports[0].addresses = BTreeSet::new(),
        &|network| network.ports[0].class = Some(Class { major: 1, minor: 2 }),
        &|network| network.remotes[1].vtep = Ipv4Addr::new(192, 0, 2, 77),
        &|network| network.remotes.swap(0, 1),
        &|network| drop(network.remotes.pop()),
    ];
    for change in changes {
        let one = admitted(&[10, 20, 30, 40], &|network| {
            if network.vni.get() == 30 {
                change(network);
            }
        });
        assert_eq!(changed(&one), [30]);
    }
    let (elsewhere, _) =
        Desired::admit(Underlay { port: 8472, ..HERE }, vec![network(9, "00000009")]);
    assert_eq!(changed(&elsewhere), [9, 10, 20, 30, 40]);
}
