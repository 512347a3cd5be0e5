//! What this node has of what networks need, found by making one of each in
//! network namespaces that are gone afterwards. Lists of modules tell nothing:
//! one that is not loaded is loaded when it is asked for, and one that is
//! built in is in no list.

use std::net::Ipv4Addr;
use std::path::Path;

use rtnetlink::Handle;
use suigen_crds::condition::shorten;
use suigen_crds::hypervisor::{
    FEATURE_BRIDGE, FEATURE_NFTABLES, FEATURE_TAP, FEATURE_VXLAN, Feature, FeatureState,
    NETWORK_FEATURES,
};
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::Vni;

use crate::network::ident::LinkName;
use crate::network::netlink::netns::Namespace;
use crate::network::netlink::{self, links};
use crate::network::nft::Nft;
use crate::network::tap::NewTap;
use crate::report::runtime::explain;

/// The longest text that the schema admits, in bytes.
const MAX_TEXT: usize = 256;
const NEEDED_FOR: &str = "network interfaces of servers";

/// Tries all of them.
pub async fn features(nft: &Path) -> Vec<Feature> {
    match Scratch::new() {
        Ok(scratch) => vec![
            feature(FEATURE_VXLAN, scratch.vxlan().await.err()),
            feature(FEATURE_BRIDGE, scratch.bridge().await.err()),
            feature(FEATURE_TAP, scratch.tap().err()),
            feature(FEATURE_NFTABLES, text(Nft::new(nft).rehearse().await).err()),
        ],
        Err(why) => all_missing(&why),
    }
}

/// All of them, of a node that cannot host networks for one reason.
#[must_use]
pub fn all_missing(why: &str) -> Vec<Feature> {
    NETWORK_FEATURES.iter().map(|name| feature(name, Some(why.to_owned()))).collect()
}

/// A feature that is there, or not for a reason.
#[must_use]
pub fn feature(name: &str, missing: Option<String>) -> Feature {
    let state = if missing.is_none() { FeatureState::Present } else { FeatureState::Missing };
    let needed_for = match missing {
        Some(why) => shorten(format!("{NEEDED_FOR}; tried: {why}"), MAX_TEXT),
        None => NEEDED_FOR.to_owned(),
    };
    Feature { name: name.to_owned(), state, needed_for }
}

fn text<T, E: std::error::Error>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| explain(&error))
}

/// Two namespaces that stand for the node's and the tenants'.
struct Scratch {
    host: Handle,
    tenants: Handle,
    namespace: Namespace,
}

impl Scratch {
    fn new() -> Result<Self, String> {
        let (host, namespace) = (text(Namespace::scratch())?, text(Namespace::scratch())?);
        Ok(Self { host: connect(&host)?, tenants: connect(&namespace)?, namespace })
    }

    async fn vxlan(&self) -> Result<(), String> {
        let vni = text(Vni::try_from(Vni::MAX))?;
        let tunnel = (vni, Ipv4Addr::LOCALHOST, 4789);
        text(links::create_vxlan(&self.host, &self.namespace, &LinkName::vxlan(vni), tunnel).await)
    }

    async fn bridge(&self) -> Result<(), String> {
        let vni = text(Vni::try_from(Vni::MAX))?;
        text(links::create_bridge(&self.tenants, &LinkName::bridge(vni)).await)
    }

    fn tap(&self) -> Result<(), String> {
        let port = Uid::try_from("00000000-0000-4000-8000-000000000000".to_owned());
        let name = LinkName::tap(&text(port)?);
        text(NewTap::create(&self.namespace, &name, 0)).map(drop)
    }
}

fn connect(namespace: &Namespace) -> Result<Handle, String> {
    let runtime = tokio::runtime::Handle::current();
    let connected = namespace.run(|| {
        let _inside = runtime.enter();
        netlink::connect()
    });
    let (handle, connection) = text(text(connected)?)?;
    tokio::spawn(connection);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_its_price_and_fits_the_api() {
        let [first, ..] = all_missing(&"x".repeat(1000))
            .try_into()
            .unwrap_or_else(|features: Vec<Feature>| -> [Feature; 4] { panic!("{features:?}") });
        assert_eq!((first.name.as_str(), first.state), (FEATURE_VXLAN, FeatureState::Missing));
        assert!(first.needed_for.starts_with("network interfaces of servers; tried: xxx"));
        assert!(first.needed_for.len() <= 256);
        assert_eq!(feature(FEATURE_TAP, None).state, FeatureState::Present);
    }
}
