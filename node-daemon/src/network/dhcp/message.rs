//! DHCP messages (RFC 2131, options of RFC 2132) as far as they are used
//! here. Read by hand: every byte of a request is a guest's choice, and no
//! choice may stop the daemon.

use std::net::Ipv4Addr;

use crate::network::ident::MacAddress;

const BOOT_REQUEST: u8 = 1;
const BOOT_REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const FLAG_BROADCAST: u8 = 0x80;

/// Where the fields are.
const XID: usize = 4;
const FLAGS: usize = 10;
const CIADDR: usize = 12;
const GIADDR: usize = 24;
const CHADDR: usize = 28;
const OPTIONS_COOKIE: usize = 236;
const OPTIONS: usize = 240;

/// The least that a BOOTP message must have, in bytes (RFC 1542, 2.1).
pub const LEAST: usize = 300;

/// Options by number.
pub mod option {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const MTU: u8 = 26;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_SECONDS: u8 = 51;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const END: u8 = 255;
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Who has an address for me?
    Discover,
    /// May I use this one?
    Request,
    /// I have an address; what else is there to know?
    Inform,
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An address, on request.
    Offer,
    /// Yes.
    Ack,
    /// No.
    Nak,
}

impl Verdict {
    const fn code(self) -> u8 {
        match self {
            Self::Offer => 2,
            Self::Ack => 5,
            Self::Nak => 6,
        }
    }
}

/// A client's message that may need an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Tells the client which of its messages is answered.
    pub xid: [u8; 4],
    /// Sent back as they came.
    pub flags: [u8; 2],
    /// The address that the client has already.
    pub ciaddr: Ipv4Addr,
    /// What it asks.
    pub asked: Asked,
    /// The address that it wants.
    pub requested: Option<Ipv4Addr>,
    /// The server that it chose.
    pub server: Option<Ipv4Addr>,
}

impl Request {
    /// Reads a message of the card `mac`. `None` if it is malformed, another
    /// card's, a relay's, or of a kind that nobody answers.
    #[must_use]
    pub fn read(bytes: &[u8], mac: MacAddress) -> Option<Self> {
        let card = bytes.get(..3)? == [BOOT_REQUEST, ETHERNET, 6]
            && bytes.get(CHADDR..CHADDR + 6)? == mac.bytes();
        let direct = address(bytes, GIADDR)?.is_unspecified();
        if !card || !direct || bytes.get(OPTIONS_COOKIE..OPTIONS)? != COOKIE {
            return None;
        }
        let (mut asked, mut requested, mut server) = (None, None, None);
        for (code, value) in Options(bytes.get(OPTIONS..)?) {
            match code {
                option::KIND => asked = kind(value),
                option::REQUESTED_ADDRESS => requested = address(value, 0),
                option::SERVER => server = address(value, 0),
                _ => {}
            }
        }
        Some(Self {
            xid: bytes.get(XID..XID + 4)?.try_into().ok()?,
            flags: bytes.get(FLAGS..FLAGS + 2)?.try_into().ok()?,
            ciaddr: address(bytes, CIADDR)?,
            asked: asked?,
            requested,
            server,
        })
    }

    /// Whether the client can hear broadcast only.
    #[must_use]
    pub const fn wants_broadcast(&self) -> bool {
        self.flags[0] & FLAG_BROADCAST != 0
    }
}

fn kind(value: &[u8]) -> Option<Asked> {
    match value {
        [1] => Some(Asked::Discover),
        [3] => Some(Asked::Request),
        [8] => Some(Asked::Inform),
        _ => None,
    }
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..)?.get(..4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

/// The options of a message, up to the first that is cut off.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&code, rest) = self.0.split_first()?;
            self.0 = rest;
            match code {
                option::PAD => {}
                option::END => return None,
                _ => {
                    let (&length, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked(length.into())?;
                    self.0 = rest;
                    return Some((code, value));
                }
            }
        }
    }
}

/// An answer in the making.
#[derive(Debug)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// An answer with no more than its kind and its server.
    #[must_use]
    pub fn to(request: &Request, mac: MacAddress, verdict: Verdict, server: Ipv4Addr) -> Self {
        let mut bytes = vec![0; OPTIONS_COOKIE];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(field) = bytes.get_mut(at..at + value.len()) {
                field.copy_from_slice(value);
            }
        };
        put(0, &[BOOT_REPLY, ETHERNET, 6]);
        put(XID, &request.xid);
        put(FLAGS, &request.flags);
        put(CHADDR, &mac.bytes());
        bytes.extend_from_slice(&COOKIE);
        let mut reply = Self(bytes);
        reply.add(option::KIND, &[verdict.code()]);
        reply.add(option::SERVER, &server.octets());
        reply
    }

    /// Sets the client's own address and the one that it is given.
    pub fn set_addresses(&mut self, ciaddr: Ipv4Addr, yiaddr: Ipv4Addr) {
        let octets = [ciaddr.octets(), yiaddr.octets()].concat();
        if let Some(field) = self.0.get_mut(CIADDR..CIADDR + 8) {
            field.copy_from_slice(&octets);
        }
    }

    /// Adds an option. One that is too long for its length field is left out.
    pub fn add(&mut self, code: u8, value: &[u8]) {
        if let Ok(length) = u8::try_from(value.len()) {
            self.0.extend_from_slice(&[code, length]);
            self.0.extend_from_slice(value);
        }
    }

    /// The whole message.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(option::END);
        let length = self.0.len().max(LEAST);
        self.0.resize(length, option::PAD);
        self.0
    }
}
