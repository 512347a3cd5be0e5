//! What the schema admits, the types can read: an object that the API server
//! stored must not be one that a watch stumbles over.

// What fails here is the test.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use proptest::string::string_regex;
use schemars::{JsonSchema, SchemaGenerator};
use suigen_crds::ident::{BootId, LogId, NodeName, Sha256, Uid};
use suigen_crds::net_ident::MacAddress;
use suigen_crds::quantity::Bytes;

/// Texts that the pattern in a type's schema admits.
fn admitted<T: JsonSchema>() -> impl Strategy<Value = String> {
    let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
    let pattern = schema["pattern"].as_str().unwrap();
    let longest = usize::try_from(schema["maxLength"].as_u64().unwrap()).unwrap();
    string_regex(pattern.trim_start_matches('^').trim_end_matches('$'))
        .unwrap()
        .prop_filter("longer than maxLength", move |text| text.len() <= longest)
}

proptest! {
    #[test]
    fn every_admitted_amount_is_read_and_written_as_it_was(text in admitted::<Bytes>()) {
        let bytes: Bytes = serde_json::from_value(text.clone().into()).unwrap();
        prop_assert!(bytes.get() > 0);
        prop_assert_eq!(serde_json::to_value(&bytes).unwrap(), serde_json::Value::from(text));
    }

    #[test]
    fn every_admitted_number_is_an_amount(number in 1..=i64::MAX) {
        let bytes: Bytes = serde_json::from_value(number.into()).unwrap();
        prop_assert_eq!(bytes.get(), number);
    }

    #[test]
    fn every_admitted_identifier_is_read(
        node in admitted::<NodeName>(),
        uid in admitted::<Uid>(),
        log in admitted::<LogId>(),
        boot in admitted::<BootId>(),
        digest in admitted::<Sha256>(),
        mac in admitted::<MacAddress>(),
    ) {
        prop_assert!(NodeName::try_from(node).is_ok());
        prop_assert!(Uid::try_from(uid).is_ok());
        prop_assert!(LogId::try_from(log).is_ok());
        prop_assert!(BootId::try_from(boot).is_ok());
        prop_assert!(Sha256::try_from(digest).is_ok());
        prop_assert!(MacAddress::try_from(mac).is_ok());
    }
}
