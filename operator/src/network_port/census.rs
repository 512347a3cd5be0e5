//! The ports of a namespace as the API server has them, past every store.
//! One that cannot be read may be anybody's.

use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::DynamicObject;
use serde_json::Value;
use suigen_crds::ident::Uid;
use suigen_crds::net_ident::{Address, Vni};
use suigen_crds::network_port::NetworkPort;

use crate::context::Context;
use crate::sweep::raw;
use crate::write::Error;

/// What could be read of a port; none where it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    name: String,
    server: Option<String>,
    server_uid: Option<String>,
    network_uid: Option<String>,
    vni: Option<u64>,
    addresses: Option<Vec<String>>,
}

/// Every port of a namespace.
///
/// # Errors
/// When they cannot be listed.
pub async fn ports(ctx: &Context, namespace: &str) -> Result<Vec<Seen>, Error> {
    let listed = raw::<NetworkPort>(ctx, namespace).list(&ListParams::default()).await;
    let failed = |source| Error::of("list NetworkPorts of", namespace.to_owned(), source);
    Ok(listed.map_err(failed)?.items.iter().map(Seen::read).collect())
}

impl Seen {
    fn read(port: &DynamicObject) -> Self {
        Self::of(port.name_any(), &port.data["spec"])
    }

    /// Reads what can be read of a port's spec.
    pub fn of(name: String, spec: &Value) -> Self {
        let text = |field: &str| spec[field].as_str().map(str::to_owned);
        let addresses = match &spec["addresses"] {
            Value::Null if spec.is_object() => Some(Vec::new()),
            Value::Array(all) => all.iter().map(|a| a.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        Self {
            name,
            server: text("serverName"),
            server_uid: text("serverUid"),
            network_uid: text("networkUid"),
            vni: spec["vni"].as_u64(),
            addresses,
        }
    }

    /// The server's name; the port's where that cannot be read.
    pub fn server(&self) -> &str {
        self.server.as_deref().unwrap_or(&self.name)
    }

    /// Whether it may be a port of this server.
    pub fn may_be_of(&self, server: &Uid) -> bool {
        self.server_uid.as_deref().is_none_or(|uid| uid == server.as_str())
    }

    /// Whether it may be in this network.
    pub fn may_be_in(&self, network: &Uid) -> bool {
        self.network_uid.as_deref().is_none_or(|uid| uid == network.as_str())
    }

    /// Whether it may send under this VNI.
    pub fn may_use(&self, vni: Vni) -> bool {
        self.vni.is_none_or(|used| used == u64::from(vni.get()))
    }

    /// Whether it may have this address.
    pub fn may_have(&self, address: Address) -> bool {
        let text = address.to_string();
        self.addresses.as_ref().is_none_or(|addresses| addresses.contains(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_read_may_be_anybodys() {
        let uid = |n: u32| Uid::try_from(format!("00000000-0000-4000-8000-{n:012x}")).unwrap();
        let vni = |n: u32| Vni::try_from(n).unwrap();
        let address: Address = String::from("10.0.0.5").try_into().unwrap();
        let port = Seen::of(
            "web.eth0".into(),
            &json!({"serverName": "web", "serverUid": uid(1), "networkUid": uid(2), "vni": 7,
                "addresses": ["10.0.0.5"]}),
        );
        assert!(port.may_be_of(&uid(1)) && !port.may_be_of(&uid(9)));
        assert!(port.may_be_in(&uid(2)) && !port.may_be_in(&uid(9)));
        assert!(port.may_use(vni(7)) && !port.may_use(vni(9)));
        assert!(port.may_have(address));
        assert_eq!(port.server(), "web");
        for broken in [json!(7), json!({"serverUid": 3, "vni": "x", "addresses": [1]}), json!({})] {
            let port = Seen::of("web.eth0".into(), &broken);
            assert!(port.may_be_of(&uid(9)) && port.may_be_in(&uid(9)) && port.may_use(vni(9)));
            assert_eq!(port.may_have(address), broken != json!({}), "{broken}");
            assert_eq!(port.server(), "web.eth0");
        }
    }
}
