//! Identifiers, so that a node's name is never taken for a server's.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a string is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {what}: {rule}")]
pub struct InvalidIdent {
    what: &'static str,
    value: String,
    rule: &'static str,
}

macro_rules! string_ident {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $pattern:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidIdent;

            fn try_from(value: String) -> Result<Self, Self::Error> {
                let check: fn(&str) -> bool = $check;
                if value.is_empty() || value.len() > $max || !check(&value) {
                    return Err(InvalidIdent { what: $what, value, rule: $rule });
                }
                Ok(Self(value))
            }
        }

        impl From<$name> for String {
            fn from(ident: $name) -> Self {
                ident.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "description": $what, "type": "string", "minLength": 1, "maxLength": $max, "pattern": $pattern })
            }
        }
    };
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    })
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

string_ident!(
    /// The name of a Kubernetes node, and so of its Hypervisor.
    NodeName, "node name", 253,
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
    "lower-case letters, digits, '-' and '.'", is_subdomain
);
string_ident!(
    /// The UID of an object: it tells a server from a later one of the same name.
    /// It becomes a path component on the node, hence the strict form.
    Uid, "UID", 36, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "a lower-case UUID", is_uuid
);
string_ident!(
    /// The random name of one node's write-ahead log. A wiped node has another.
    LogId, "log id", 36, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "a lower-case UUID", is_uuid
);
string_ident!(
    /// The kernel's random name of one boot of a node
    /// (`/proc/sys/kernel/random/boot_id`).
    BootId, "boot id", 36, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "a lower-case UUID", is_uuid
);
string_ident!(
    /// A SHA-256 digest in lower-case hexadecimal.
    Sha256, "SHA-256 digest", 64, "^[0-9a-f]{64}$", "64 lower-case hexadecimal digits",
    |v| v.len() == 64 && v.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

/// The number of a run right: greater than every one given out before for the
/// same server. The holder of a lower one must not run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    /// The epoch of a server's first placement.
    pub const FIRST: Self = Self(1);

    /// The next epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Epoch {
    fn schema_name() -> Cow<'static, str> {
        "Epoch".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_cannot_climb_out_of_its_directory() {
        for bad in ["", "..", "../../etc", "A0000000-0000-0000-0000-000000000000", "0000"] {
            assert!(Uid::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Uid::try_from("0a000000-0000-4000-8000-00000000000f".to_owned()).is_ok());
    }

    #[test]
    fn node_names_are_dns_subdomains() {
        for bad in ["", "Node", "-a", "a-", "a..b", "a/b", "a b"] {
            assert!(NodeName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for good in ["node-a", "ip-10-0-0-1.example.internal"] {
            assert!(NodeName::try_from(good.to_owned()).is_ok(), "{good:?}");
        }
    }
}
