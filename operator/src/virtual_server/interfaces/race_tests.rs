//! Operators that are cut off anywhere, and two at once whose stores are stale.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use suigen_crds::virtual_server::VirtualServer;

use super::model::Api;
use crate::fixtures::{all, deleted, said};
use crate::placement::ledger::Ledger;
use crate::virtual_server::apply::promise;
use crate::virtual_server::decide::plan;
use crate::virtual_server::observe::Observed;
use crate::virtual_server::plan::{Plan, Step};

const SERVERS: [&str; 4] = ["a", "b", "c", "d"];

/// Four servers in a subnet of five addresses; two ask for the same one.
fn crowd() -> Api {
    let mut api = Api::new();
    let subnet = json!([{"name": "v4", "cidr": "10.20.0.0/29", "gateway": "10.20.0.1"}]);
    let network = api.networks.get_mut("blue").unwrap();
    network.spec.subnets = serde_json::from_value(subnet).unwrap();
    let eth0 =
        |more: Value| json!([all([json!({"name": "eth0", "tenantNetworkName": "blue"}), more])]);
    api.add("a", &eth0(json!({})));
    api.add("b", &eth0(json!({"addresses": ["10.20.0.3"]})));
    api.add("c", &eth0(json!({"addresses": ["10.20.0.3"], "macAddress": "52:54:00:00:00:01"})));
    api.add("d", &json!([
        {"name": "eth0", "tenantNetworkName": "blue"}, {"name": "eth1", "tenantNetworkName": "blue"}]));
    api
}

/// One operator: what its stores show, and what it is in the midst of.
struct Operator {
    shown: Api,
    ledger: Ledger,
    under_way: Option<(Observed, Plan, usize, String)>,
}

impl Operator {
    fn of(api: &Api) -> Self {
        Self { shown: api.clone(), ledger: Ledger::default(), under_way: None }
    }

    /// Decides, or makes the next write of what was decided. False when there
    /// was nothing to write.
    fn go_on(&mut self, api: &mut Api, server: &str) -> bool {
        let Some((look, plan, next, mut version)) = self.under_way.take() else {
            return self.begin(server);
        };
        let steps = plan.steps();
        let Some(step) = steps.get(next) else { return false };
        if api.write(&look, &mut version, *step).is_ok() {
            self.under_way = Some((look, plan, next + 1, version));
        }
        true
    }

    fn begin(&mut self, server: &str) -> bool {
        if !self.shown.servers.contains_key(server) {
            return false;
        }
        let look = self.shown.look(server, &mut self.ledger);
        let plan = plan(&look);
        promise(&look, &plan, &mut self.ledger);
        let open = plan.steps().iter().any(|step| !is_of_disks(step));
        let version = look.server.resource_version().unwrap();
        self.under_way = open.then_some((look, plan, 0, version));
        open
    }
}

/// Disks are not part of the model, so their steps are never done with.
const fn is_of_disks(step: &Step<'_>) -> bool {
    matches!(
        step,
        Step::MakeDisk(_)
            | Step::Attach(_)
            | Step::Detach(_)
            | Step::Unpin(_)
            | Step::DeleteDisk(_)
    )
}

/// One operator alone goes on until nothing is left to write, at most so many
/// writes. Gives back how many it made.
fn settle(api: &mut Api, most: usize) -> usize {
    let mut writes = 0;
    for _ in 0..20 {
        let mut quiet = true;
        for server in SERVERS {
            let mut operator = Operator::of(api);
            for turn in 0.. {
                if !operator.go_on(api, server) {
                    break;
                }
                assert!(turn < 100, "{server} is tried again and again: {:#}", api.summary());
                quiet = false;
                writes +=
                    usize::from(operator.under_way.as_ref().is_some_and(|(_, _, n, _)| *n > 0));
                if writes >= most {
                    return writes;
                }
            }
        }
        let ports = api.ports.len();
        api.nodes_remove_ports();
        if quiet && api.ports.len() == ports {
            return writes;
        }
    }
    panic!("it never comes to rest: {:#}", api.summary());
}

fn lives(server: &VirtualServer) -> bool {
    server.metadata.deletion_timestamp.is_none()
}

/// Nothing is ever given twice, and everything that was given is claimed.
fn check(api: &Api) {
    let (mut addresses, mut macs) = (BTreeSet::new(), BTreeSet::new());
    for server in api.servers.values().filter(|server| lives(server)) {
        let status = server.status.clone().unwrap_or_default();
        assert_eq!(status.placement.is_some(), !status.interfaces.is_empty(), "one write");
        for placed in &status.interfaces {
            for address in &placed.addresses {
                assert!(addresses.insert(*address), "{address} twice: {:#}", api.summary());
                let claim = api.claims.values().find(|claim| claim.spec.address == *address);
                let of = claim.map(|claim| claim.spec.server_uid.to_string());
                assert_eq!(of, server.uid(), "{address} is not claimed for its server");
            }
            assert!(macs.insert(placed.mac_address), "{} twice", placed.mac_address);
        }
    }
    let mut on_ports = BTreeMap::new();
    let live = |uid: &str| api.servers.values().any(|s| s.uid().as_deref() == Some(uid));
    for port in api.ports.values().filter(|port| live(port.spec.server_uid.as_str())) {
        let hosts = api.segments["vni-5000"].status.clone().unwrap_or_default().hosts;
        let node = &port.spec.binding.as_ref().unwrap().node_name;
        assert!(hosts.contains(node), "bound on a node that the segment does not know");
        for address in &port.spec.addresses {
            let twice = on_ports.insert(*address, port.name_any());
            assert!(twice.is_none(), "{address} on {twice:?} and {}", port.name_any());
        }
    }
}

fn change_all(api: &mut Api, with: &Value) {
    for server in SERVERS {
        if api.servers[server].status.as_ref().is_some_and(|status| status.placement.is_some()) {
            api.change(server, with.clone());
        }
    }
}

/// What happens to the servers in between.
type Between = fn(&mut Api);

#[test]
fn decide_wherever_it_is_cut_off_it_ends_the_same() {
    let nothing: Between = |_| ();
    let refused: Between = |api| {
        settle(api, usize::MAX);
        change_all(api, &said(1, "Refused"));
    };
    let gone: Between = |api| {
        settle(api, usize::MAX);
        change_all(api, &all([deleted(), said(1, "Released")]));
    };
    for (what, between) in [("made", nothing), ("refused", refused), ("deleted", gone)] {
        let mut start = crowd();
        between(&mut start);
        let mut whole = start.clone();
        let writes = settle(&mut whole, usize::MAX);
        assert!(writes >= 8, "{what}: only {writes} writes");
        check(&whole);
        for cut in 0..writes {
            let mut api = start.clone();
            settle(&mut api, cut.max(1));
            check(&api);
            settle(&mut api, usize::MAX);
            check(&api);
            assert_eq!(api.summary(), whole.summary(), "{what}, cut off after {cut} writes");
        }
    }
}

#[test]
fn decide_all_get_what_they_can_and_the_second_to_ask_waits() {
    let mut api = crowd();
    settle(&mut api, usize::MAX);
    let has = |name: &str| api.servers[name].status.clone().unwrap_or_default().interfaces.len();
    assert_eq!(SERVERS.map(has), [1, 1, 0, 2]);
    assert_eq!((api.claims.len(), api.ports.len()), (4, 4));
    api.change("b", all([deleted(), said(1, "Released")]));
    settle(&mut api, usize::MAX);
    check(&api);
    assert!(!api.servers.contains_key("b"), "it is let go");
    let c = api.servers["c"].status.clone().unwrap();
    assert_eq!(c.interfaces[0].addresses[0].to_string(), "10.20.0.3", "freed, and given on");
}

#[derive(Debug, Clone)]
enum Happens {
    /// An operator decides, or makes its next write.
    Step(usize, usize),
    /// The stores of an operator catch up.
    Catch(usize),
    /// An operator is killed and another takes its place.
    Killed(usize),
    /// A server is deleted, and its holder gives up the right.
    Deleted(usize),
    /// A server is refused.
    Refused(usize),
    /// Nodes remove the ports that are to go.
    Removed,
}

fn happens() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        20 => (0..2_usize, 0..4_usize).prop_map(|(who, server)| Happens::Step(who, server)),
        3 => (0..2_usize).prop_map(Happens::Catch),
        1 => (0..2_usize).prop_map(Happens::Killed),
        1 => (0..4_usize).prop_map(Happens::Deleted),
        1 => (0..4_usize).prop_map(Happens::Refused),
        1 => Just(Happens::Removed),
    ];
    proptest::collection::vec(one, 1..120)
}

fn give_up(api: &mut Api, server: &str, more: Value, state: &str) {
    let Some(there) = api.servers.get(server) else { return };
    let placement = there.status.as_ref().and_then(|status| status.placement.clone());
    let mut with = vec![more];
    if let Some(placement) = placement {
        with.push(said(placement.epoch.0, state));
        with.push(json!({"status": {"runtime": {"nodeName": placement.node_name}}}));
    }
    with.into_iter().for_each(|with| api.change(server, with));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_operators_never_give_one_address_twice(happens in happens()) {
        let mut api = crowd();
        let mut operators = [Operator::of(&api), Operator::of(&api)];
        for one in happens {
            match one {
                Happens::Step(who, server) => {
                    operators[who].go_on(&mut api, SERVERS[server]);
                }
                Happens::Catch(who) => operators[who].shown = api.clone(),
                Happens::Killed(who) => operators[who] = Operator::of(&api),
                Happens::Deleted(server) => give_up(&mut api, SERVERS[server], deleted(), "Released"),
                Happens::Refused(server) => give_up(&mut api, SERVERS[server], json!({}), "Refused"),
                Happens::Removed => api.nodes_remove_ports(),
            }
            check(&api);
        }
        settle(&mut api, usize::MAX);
        check(&api);
        for server in api.servers.values() {
            prop_assert!(lives(server), "{} was not let go", server.name_any());
            let status = server.status.clone().unwrap_or_default();
            for placed in status.interfaces {
                let port = &api.ports[&format!("{}.{}", server.name_any(), placed.name)];
                let bound = port.spec.binding.clone().unwrap();
                let placement = status.placement.clone().unwrap();
                prop_assert_eq!((bound.node_name, bound.epoch), (placement.node_name, placement.epoch));
            }
        }
    }
}
