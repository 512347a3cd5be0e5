//! The files of NoCloud (cloud-init's documentation, "Reference / Data sources
//! / NoCloud" and "Networking config Version 2"). Pure.

use std::fmt::{self, Write as _};

use super::{Subject, UserData};

/// One file for the guest.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, in the root directory.
    pub name: &'static str,
    /// What is in it.
    pub content: Vec<u8>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.content.len())
    }
}

/// NoCloud wants the file also where there is nothing to say.
const NO_USER_DATA: &[u8] = b"#cloud-config\n{}\n";

/// The files of a server, by name.
#[must_use]
pub fn files(subject: &Subject<'_>) -> Vec<File> {
    let mut files = vec![File { name: "meta-data", content: meta_data(subject).into_bytes() }];
    if !subject.interfaces.is_empty() {
        let content = network_config(subject).into_bytes();
        files.push(File { name: "network-config", content });
    }
    let user_data = subject.user_data.as_ref().map(|UserData(bytes)| bytes.clone());
    let content = user_data.unwrap_or_else(|| NO_USER_DATA.to_vec());
    files.push(File { name: "user-data", content });
    files
}

/// Keys are here, so that user data of whatever kind stays as it was written.
fn meta_data(subject: &Subject<'_>) -> String {
    let mut text = String::new();
    line(&mut text, 0, "instance-id", subject.server.as_str());
    line(&mut text, 0, "local-hostname", subject.name);
    if !subject.keys.is_empty() {
        text.push_str("public-keys:\n");
    }
    for key in subject.keys {
        let _ = writeln!(text, "  - {}", quoted(&key.0));
    }
    text
}

/// Addresses, routes and name servers come by DHCP, also where those of the
/// network change later.
fn network_config(subject: &Subject<'_>) -> String {
    let mut text = "version: 2\nethernets:\n".to_owned();
    for interface in subject.interfaces {
        let addressed = !interface.addresses.is_empty();
        let _ = writeln!(text, "  {}:\n    match:", quoted(&interface.name));
        line(&mut text, 6, "macaddress", &interface.mac_address.to_string());
        line(&mut text, 4, "set-name", &interface.name);
        let _ = writeln!(text, "    dhcp4: {addressed}");
        // Nothing comes by itself where there is no subnet; a boot would wait for it.
        if !addressed {
            text.push_str("    optional: true\n");
        }
        let _ = writeln!(text, "    mtu: {}", interface.mtu);
    }
    text
}

fn line(text: &mut String, indent: usize, key: &str, value: &str) {
    let _ = writeln!(text, "{:indent$}{key}: {}", "", quoted(value));
}

/// A string in YAML whatever is in it: its double-quoted form is that of JSON.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use suigen_crds::ident::Uid;
    use suigen_crds::net_ident::Address;
    use suigen_crds::network_interface::PlacedInterface;
    use suigen_crds::virtual_server::SshKey;

    pub(in crate::first_boot) fn server() -> Uid {
        "0a000000-0000-4000-8000-00000000000f".to_owned().try_into().unwrap()
    }

    fn interface(name: &str, last: u8, addresses: Vec<Address>) -> PlacedInterface {
        PlacedInterface {
            name: name.into(),
            tenant_network_name: "web".into(),
            network_uid: "0a000000-0000-4000-8000-000000000001".to_owned().try_into().unwrap(),
            vni: 5000.try_into().unwrap(),
            mtu: 1450,
            mac_address: suigen_crds::net_ident::MacAddress::new([2, 0, 0, 0, 0, last]),
            addresses,
        }
    }

    fn shown(subject: &Subject<'_>) -> String {
        let files = files(subject);
        let one =
            |file: &File| format!("== {}\n{}", file.name, String::from_utf8_lossy(&file.content));
        files.iter().map(one).collect()
    }

    #[test]
    fn a_server_with_everything() {
        let address = Address::try_from("10.20.0.10".to_owned()).unwrap();
        let interfaces = [interface("eth0", 1, vec![address]), interface("0123", 2, vec![])];
        let keys = ["ssh-ed25519 AAAA me@\"home\": #1", "ssh-rsa BBBB you"];
        let keys = keys.map(|key| SshKey(key.to_owned()));
        let user_data = UserData::new(b"#!/bin/sh\necho hello\n".to_vec());
        insta::assert_snapshot!(shown(&Subject {
            server: &server(),
            name: "web-1",
            interfaces: &interfaces,
            keys: &keys,
            user_data: Some(user_data),
        }));
    }

    #[test]
    fn a_server_that_asks_for_nothing() {
        insta::assert_snapshot!(shown(&Subject {
            server: &server(),
            name: "web-1",
            interfaces: &[],
            keys: &[],
            user_data: None,
        }));
    }

    #[test]
    fn nothing_of_user_data_is_shown() {
        let secret = UserData::new(b"password".to_vec());
        assert_eq!(format!("{secret:?}"), "UserData(8 bytes)");
        let subject = Subject {
            server: &server(),
            name: "web-1",
            interfaces: &[],
            keys: &[],
            user_data: Some(secret),
        };
        let image = super::super::image(&files(&subject)).unwrap();
        for shown in
            [format!("{subject:?}"), format!("{:?}", files(&subject)), format!("{image:?}")]
        {
            assert!(!shown.contains("password") && !shown.contains("112, 97"), "{shown}");
        }
    }
}
