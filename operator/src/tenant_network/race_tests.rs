//! Several operators at once, each with a picture of its own age, and each
//! killed between any two writes: no two networks ever have one VNI.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::Vni;

use super::decide::{Given, plan};
use super::observe::{Left, Observed, Segment};
use crate::finalizer::Deletion;
use crate::fixtures::network;
use crate::tenant_network::allocate::VniRange;

const NETWORKS: usize = 4;
const OPERATORS: usize = 3;

/// A network as the API server has it.
#[derive(Debug, Clone, Default)]
struct Stored {
    version: u64,
    given: Option<Given>,
}

/// What the API server has, or what a store shows of it.
#[derive(Debug, Clone, Default)]
struct Api {
    segments: BTreeMap<Vni, usize>,
    networks: [Stored; NETWORKS],
}

fn uid(network: usize) -> Uid {
    format!("00000000-0000-4000-8000-{network:012x}").try_into().unwrap()
}

/// What `observe` makes of a store.
fn look(shown: &Api, network: usize, range: VniRange) -> Observed {
    let stored = &shown.networks[network];
    let status = stored.given.map_or(json!({}), |g| json!({"vni": g.vni, "mtu": g.mtu}));
    let uid = uid(network);
    let object = network_object(&uid, &status);
    let own = |(vni, owner): (&Vni, &usize)| (*owner == network).then_some(*vni);
    let segment = match stored.given.map(|given| given.vni) {
        Some(vni) => match shown.segments.get(&vni) {
            Some(owner) if *owner == network => Segment::Ours(vni),
            Some(other) => Segment::Foreign(other.to_string()),
            None => Segment::None,
        },
        None => shown.segments.iter().find_map(own).map_or(Segment::None, Segment::Ours),
    };
    let given = stored.given.map(|given| given.vni);
    let free =
        given.or_else(|| range.candidates(&uid).find(|vni| !shown.segments.contains_key(vni)));
    Observed {
        network: Arc::new(object),
        uid,
        deletion: Deletion::No,
        segment,
        free,
        range,
        carries: vec![("node-a".into(), 1450)],
        ports: 0,
        free_addresses: None,
        left: Left::default(),
    }
}

fn network_object(
    uid: &Uid,
    status: &serde_json::Value,
) -> suigen_crds::tenant_network::TenantNetwork {
    network(json!({"metadata": {"uid": uid}, "status": status}))
}

/// One look of an operator, which may die after some of its writes.
fn act(api: &mut Api, shown: &Api, network: usize, range: VniRange, writes: usize) {
    let said = plan(&look(shown, network, range));
    if writes == 0 {
        return;
    }
    if let Some(vni) = said.claim {
        // POST: the name is there once. One that is ours is as good.
        if *api.segments.entry(vni).or_insert(network) != network {
            return;
        }
        if writes == 1 {
            return;
        }
    }
    if let Some(given) = said.give {
        let stored = &mut api.networks[network];
        // The patch carries the resourceVersion, and a VNI never changes.
        if stored.version == shown.networks[network].version && stored.given.is_none() {
            *stored = Stored { version: stored.version + 1, given: Some(given) };
        }
    }
}

fn holds(api: &Api) {
    for (number, network) in api.networks.iter().enumerate() {
        if let Some(given) = network.given {
            assert_eq!(api.segments.get(&given.vni), Some(&number), "its VNI is another's");
        }
    }
}

#[derive(Debug, Clone)]
struct Step {
    operator: usize,
    network: usize,
    refresh: bool,
    writes: usize,
}

fn step() -> impl Strategy<Value = Step> {
    (0..OPERATORS, 0..NETWORKS, any::<bool>(), 0..3_usize).prop_map(
        |(operator, network, refresh, writes)| Step { operator, network, refresh, writes },
    )
}

proptest! {
    #[test]
    fn decide_no_two_networks_ever_have_one_vni(
        steps in prop::collection::vec(step(), 1..60),
        first in 1_u32..2000,
        size in 8_u32..12,
    ) {
        let range = VniRange::new(first, first + size).unwrap();
        let mut api = Api::default();
        let mut stores: [Api; OPERATORS] = Default::default();
        for Step { operator, network, refresh, writes } in steps {
            if refresh {
                stores[operator] = api.clone();
            }
            let shown = stores[operator].clone();
            act(&mut api, &shown, network, range, writes);
            holds(&api);
        }
        let (before, mut rounds) = (api.clone(), 0);
        while api.networks.iter().any(|network| network.given.is_none()) {
            rounds += 1;
            prop_assert!(rounds < 10, "left alone, it comes to an end");
            for network in 0..NETWORKS {
                let shown = api.clone();
                act(&mut api, &shown, network, range, 2);
                holds(&api);
            }
        }
        for (was, is) in before.networks.iter().zip(&api.networks) {
            prop_assert!(was.given.is_none() || was.given == is.given, "what is given stays");
        }
    }
}
