//! QMP's messages, as lines of JSON. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Event;

/// Longest line that is believed, in bytes. The longest known answer, that to
/// `query-qmp-schema`, has less than 1 MiB.
pub const LONGEST_LINE: usize = 4 << 20;

/// What QEMU says.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first message of a connection.
    Greeting,
    /// The answer to the command with this number.
    Reply {
        /// The command's number.
        id: u64,
        /// What it returned.
        outcome: Result<Value, Refusal>,
    },
    /// Something happened.
    Event(Event),
}

/// A command that QEMU did not carry out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{class}: {desc}")]
pub struct Refusal {
    /// QEMU's class of errors; nearly always `GenericError`.
    pub class: String,
    /// A sentence for people.
    pub desc: String,
}

/// A line that is no message.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON, or has parts of another type.
    #[error("QEMU sent a line that is not QMP")]
    Json(#[from] serde_json::Error),
    /// It is JSON of no known kind.
    #[error("QEMU sent an object that is neither greeting nor reply nor event")]
    Kind,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    // A reply may return `null`, which is not the same as no reply.
    #[serde(default, rename = "return", deserialize_with = "present")]
    returned: Option<Value>,
    error: Option<Refusal>,
    id: Option<u64>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a line.
///
/// # Errors
/// When it is no message of QMP.
pub fn decode(line: &[u8]) -> Result<Message, Malformed> {
    let raw: Raw = serde_json::from_slice(line)?;
    match raw {
        Raw { event: Some(name), data, .. } => Ok(Message::Event(Event::from_raw(name, &data))),
        Raw { error: Some(refusal), id: Some(id), .. } => {
            Ok(Message::Reply { id, outcome: Err(refusal) })
        }
        Raw { returned: Some(value), id: Some(id), .. } => {
            Ok(Message::Reply { id, outcome: Ok(value) })
        }
        Raw { greeting: Some(_), .. } => Ok(Message::Greeting),
        _ => Err(Malformed::Kind),
    }
}

/// Writes a command as a line.
///
/// # Errors
/// When its arguments cannot be JSON.
pub fn encode(id: u64, name: &str, arguments: &impl Serialize) -> Result<Vec<u8>, Malformed> {
    #[derive(Serialize)]
    struct Request<'a> {
        execute: &'a str,
        #[serde(skip_serializing_if = "is_empty")]
        arguments: Value,
        id: u64,
    }
    fn is_empty(arguments: &Value) -> bool {
        arguments.is_null() || arguments.as_object().is_some_and(serde_json::Map::is_empty)
    }
    let arguments = serde_json::to_value(arguments)?;
    let mut line = serde_json::to_vec(&Request { execute: name, arguments, id })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<Message, Malformed> {
        decode(value.to_string().as_bytes())
    }

    #[test]
    fn every_kind_of_message_is_told_from_the_others() {
        let greeting = json!({ "QMP": { "version": {}, "capabilities": ["oob"] } });
        assert_eq!(read(&greeting).unwrap(), Message::Greeting);
        let reply = read(&json!({ "return": {}, "id": 7 })).unwrap();
        assert_eq!(reply, Message::Reply { id: 7, outcome: Ok(json!({})) });
        let null = read(&json!({ "return": null, "id": 8 })).unwrap();
        assert_eq!(null, Message::Reply { id: 8, outcome: Ok(Value::Null) });
        let refusal = json!({ "id": 9, "error": { "class": "GenericError", "desc": "no" } });
        let Message::Reply { id: 9, outcome: Err(refusal) } = read(&refusal).unwrap() else {
            unreachable!("a refusal is a reply")
        };
        assert_eq!(refusal.to_string(), "GenericError: no");
        assert!(matches!(read(&json!({ "event": "STOP" })).unwrap(), Message::Event(Event::Stop)));
        for bad in [json!({}), json!({ "return": 1 }), json!({ "return": 1, "id": "a" }), json!([])]
        {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_without_arguments_has_none() {
        let line = encode(3, "cont", &json!({})).unwrap();
        assert_eq!(line, b"{\"execute\":\"cont\",\"id\":3}\n");
        let line = encode(4, "stop", &json!({ "a": 1 })).unwrap();
        assert_eq!(line, b"{\"execute\":\"stop\",\"arguments\":{\"a\":1},\"id\":4}\n");
    }

    proptest! {
        #[test]
        fn no_line_ends_the_daemon(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&line);
        }
    }
}
