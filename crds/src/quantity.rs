//! Amounts of bytes as people write them: `20Gi`, `512Mi`, `1073741824`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an amount of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an amount of bytes: write a whole number, with Ki, Mi, Gi or Ti after it or nothing"
)]
pub struct InvalidBytes(String);

/// A positive amount of bytes, kept as it was written.
///
/// Accepts a subset of Kubernetes' `Quantity`: whole numbers with a binary
/// suffix or none. Fractions, decimal suffixes and zero are refused, because
/// memory and disks are bought in binary units. Largest: `999999Ti`.
#[derive(Debug, Clone)]
pub struct Bytes {
    text: String,
    bytes: i64,
}

impl Bytes {
    /// The amount in bytes; always positive.
    #[must_use]
    pub const fn get(&self) -> i64 {
        self.bytes
    }

    /// The amount in bytes, unsigned.
    #[must_use]
    pub const fn unsigned(&self) -> u64 {
        self.bytes.unsigned_abs()
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Bytes {}

impl std::str::FromStr for Bytes {
    type Err = InvalidBytes;

    fn from_str(text: &str) -> Result<Self, InvalidBytes> {
        let invalid = || InvalidBytes(text.to_owned());
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, suffix) = text.split_at(digits);
        let shift = match suffix {
            "" => 0,
            "Ki" => 10,
            "Mi" => 20,
            "Gi" => 30,
            "Ti" => 40,
            _ => return Err(invalid()),
        };
        let number: i64 = number.parse().map_err(|_| invalid())?;
        let bytes = number.checked_mul(1 << shift).filter(|b| *b > 0).ok_or_else(invalid)?;
        Ok(Self { text: text.to_owned(), bytes })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": "^([1-9][0-9]{0,17}|[1-9][0-9]{0,5}(Ki|Mi|Gi|Ti))$",
            "maxLength": 20,
            "minimum": 1
        })
    }
}

/// Writes an amount of bytes for people: the largest binary unit that leaves
/// at most one digit after the point.
#[must_use]
pub fn human(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = i128::from(bytes) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {}", UNITS[unit]),
        (whole, tenth) => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_schema_admits_and_refuses_the_rest() {
        for (text, bytes) in [("1", 1), ("4Gi", 4 << 30), ("999999Ti", 999_999 << 40)] {
            assert_eq!(text.parse::<Bytes>().unwrap().get(), bytes);
        }
        for bad in ["", "0", "-1", "1G", "1.5Gi", "Gi", "9999999999Ti", "4Gi "] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_in_a_manifest_is_an_amount_too() {
        let bytes: Bytes = serde_json::from_str("1048576").unwrap();
        assert_eq!(bytes, "1Mi".parse().unwrap());
    }

    #[test]
    fn people_read_one_digit_after_the_point() {
        assert_eq!(human(512), "512 bytes");
        assert_eq!(human(3 << 29), "1.5 GiB");
        assert_eq!(human(20 << 30), "20 GiB");
    }
}
