//! The nft rules as text, and what is variable in them. Pure.
//!
//! The rules are constant; what differs by port is in sets keyed by the tap's
//! name, so that a thousand ports cost a packet as much as one, and tenants
//! with the same addresses share no key. Everything is in the bridge family
//! and runs before a bridge looks at the frame.
//!
//! A guest may send ARP and IPv4 from its own addresses (from any in a network
//! without subnets, where guests give themselves addresses), nothing else: no
//! VLAN tags, no IPv6 (until its neighbour discovery is guarded too), no
//! protocol that switches speak among themselves. DHCP is answered at the tap
//! and goes no further. Nothing of a tenant reaches the node's own stack.
//!
//! What goes to many (broadcast, multicast) is copied to every node of the
//! network in the sender's name, so a port may send [`TO_MANY`] of it a
//! second. ARP and IPv4 are counted apart: a guest that floods can still be
//! found. Frames to an address that nobody has need no limit, since no port of
//! a bridge floods them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::desired::{Class, Port};
use super::ident::{LinkName, MacAddress};

/// The table that is ours, in the bridge family.
pub const TABLE: &str = "suigen";

/// How many frames to many a port may send in a second, of ARP and of IPv4
/// each; twice as many at once. One takes about 3 µs of a core for each node
/// of the network.
pub const TO_MANY: u32 = 100;

/// The set that counts frames to many; the kernel fills it, not we.
pub const COUNTED: &str = "port_flood";

/// The constant part. nft(8) wants a line break or semicolon after each
/// statement and block.
pub const CONSTANT: &str = r#"table bridge suigen {
	set port_mac {
		type ifname . ether_addr
	}
	set port_ipv4 {
		type ifname . ipv4_addr
	}
	set port_any {
		type ifname
	}
	map port_class {
		type ifname : classid
	}
	set port_flood {
		type ifname . ether_type
		size 65536
		flags dynamic,timeout
		timeout 1m
	}
	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		iifname "st-*" goto from_port
		iifname "sx-*" goto from_tunnel
	}
	chain from_port {
		meta priority set iifname map @port_class
		iifname . ether saddr != @port_mac counter drop
		ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 counter drop
		ether type != { arp, ip } counter drop
		ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 jump to_many
		ether type arp goto from_port_arp
		goto from_port_ipv4
	}
	chain to_many {
		update @port_flood { iifname . ether type limit rate over 100/second burst 200 packets } counter drop
	}
	chain from_port_arp {
		arp htype != 1 counter drop
		arp ptype != 0x0800 counter drop
		iifname . arp saddr ether != @port_mac counter drop
		arp operation request arp saddr ip 0.0.0.0 accept
		iifname != @port_any iifname . arp saddr ip != @port_ipv4 counter drop
		arp operation { request, reply } accept
		counter drop
	}
	chain from_port_ipv4 {
		udp dport 67 drop
		udp sport 67 counter drop
		iifname . ip saddr @port_ipv4 accept
		iifname @port_any accept
		counter drop
	}
	chain from_tunnel {
		ether type != { arp, ip } counter drop
		ether saddr & ff:ff:ff:ff:00:00 == 0e:53:55:49:00:00 counter drop
		ether type ip udp sport 67 counter drop
	}
	chain input {
		type filter hook input priority 0; policy drop;
	}
	chain output {
		type filter hook output priority 0; policy drop;
	}
}
"#;

/// The elements of the sets, as nft writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elements(BTreeMap<String, BTreeSet<String>>);

impl Elements {
    /// Adds what a port may use.
    pub fn add_port(&mut self, tap: &LinkName, port: &Port) {
        self.add_mac(tap, port.mac);
        for address in &port.addresses {
            self.add_ipv4(tap, *address);
        }
        if port.addresses.is_empty() {
            self.insert("port_any", tap.to_string());
        }
        if let Some(class) = port.class {
            self.add_class(tap, class);
        }
    }

    fn add_mac(&mut self, tap: &LinkName, mac: MacAddress) {
        self.insert("port_mac", format!("{tap} . {mac}"));
    }

    fn add_ipv4(&mut self, tap: &LinkName, address: Ipv4Addr) {
        self.insert("port_ipv4", format!("{tap} . {address}"));
    }

    fn add_class(&mut self, tap: &LinkName, class: Class) {
        self.insert("port_class", format!("{tap} : {class}"));
    }

    /// Adds an element as text.
    pub fn insert(&mut self, set: &str, element: String) {
        self.0.entry(set.to_owned()).or_default().insert(element);
    }

    /// The elements of some taps.
    #[must_use]
    pub fn of_taps(&self, taps: &[&LinkName]) -> Self {
        let mut some = Self::default();
        for (set, elements) in &self.0 {
            // Every element is its tap's name, or begins with it and a blank.
            for tap in taps.iter().map(ToString::to_string) {
                if elements.contains(&tap) {
                    some.insert(set, tap.clone());
                }
                let begin = format!("{tap} ");
                let from = elements.range(begin.clone()..);
                for element in from.take_while(|element| element.starts_with(&begin)) {
                    some.insert(set, element.clone());
                }
            }
        }
        some
    }

    /// Exchanges some elements for others.
    pub fn exchange(&mut self, gone: &Self, new: &Self) {
        for (set, elements) in &gone.0 {
            if let Some(present) = self.0.get_mut(set) {
                for element in elements {
                    present.remove(element);
                }
            }
        }
        for (set, elements) in &new.0 {
            self.0.entry(set.clone()).or_default().extend(elements.iter().cloned());
        }
    }

    /// The elements of a set.
    fn of(&self, set: &str) -> BTreeSet<&str> {
        self.0.get(set).into_iter().flatten().map(String::as_str).collect()
    }

    fn sets<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        self.0.keys().chain(other.0.keys()).map(String::as_str).collect()
    }

    /// The batch that turns these elements into others, if they differ.
    #[must_use]
    pub fn batch_to(&self, wanted: &Self) -> Option<String> {
        let mut batch = String::new();
        for set in self.sets(wanted) {
            let (is, should) = (self.of(set), wanted.of(set));
            let gone: Vec<&str> = is.difference(&should).copied().collect();
            let new: Vec<&str> = should.difference(&is).copied().collect();
            append(&mut batch, "delete", set, &gone);
            append(&mut batch, "add", set, &new);
        }
        (!batch.is_empty()).then_some(batch)
    }
}

fn append(batch: &mut String, verb: &str, set: &str, elements: &[&str]) {
    if !elements.is_empty() {
        let list = elements.join(", ");
        // Writing into a string cannot fail.
        let _ = writeln!(batch, "{verb} element bridge {TABLE} {set} {{ {list} }}");
    }
}

/// The batch that replaces the whole table, whatever is there. One
/// transaction: no packet passes between the old and the new one.
#[must_use]
pub fn replace_all(wanted: &Elements) -> String {
    let elements = Elements::default().batch_to(wanted).unwrap_or_default();
    format!("add table bridge {TABLE}\ndelete table bridge {TABLE}\n{CONSTANT}{elements}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_one_that_is_told() {
        let limit = format!("limit rate over {TO_MANY}/second burst {} packets", 2 * TO_MANY);
        assert!(CONSTANT.contains(&limit));
    }
}
