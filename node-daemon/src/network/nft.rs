//! Runs nft in the tenants' namespace and reads back what it did.
//!
//! The binary is that of the daemon's own image (Debian's package `nftables`),
//! not of a hypervisor bundle: the rules belong to the daemon's version and are
//! replaced with it, while a bundle stays as long as a guest runs on it.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::netlink;
use super::netlink::netns::Namespace;
use super::rules::{self, Elements, TABLE};

/// How nft is called.
#[derive(Debug, Clone)]
pub struct Nft {
    program: OsString,
}

/// Why nft did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there or cannot run.
    #[error("run {program}")]
    Spawn { program: String, source: std::io::Error },
    /// It refused; its last words say what.
    #[error("nft refuses the rules: {message}")]
    Refused { message: String },
    /// It wrote something that is not its JSON (libnftables-json(5)).
    #[error("nft's listing cannot be read: {what}")]
    Listing { what: String },
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] netlink::netns::Error),
}

impl Error {
    /// The stable word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Spawn { .. } => "NftMissing",
            Self::Refused { .. } => "NftRefused",
            Self::Listing { .. } => "NftListingUnreadable",
            Self::Namespace(error) => error.reason(),
        }
    }
}

/// The table as nft lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Everything but elements, handles and counts, in a canonical form.
    pub constant: String,
    /// The elements of the sets.
    pub elements: Elements,
}

impl Nft {
    /// `program` is a path, or a name that is looked up in `PATH`.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into() }
    }

    /// Runs a batch: all of it or nothing.
    ///
    /// # Errors
    /// When nft cannot be run or refuses.
    pub async fn apply(&self, namespace: &Namespace, batch: &str) -> Result<(), Error> {
        self.run(namespace, &["-f", "-"], batch).await.map(|_| ())
    }

    /// Reads our table, if it is there.
    ///
    /// # Errors
    /// When nft cannot be run or its listing is not understood.
    pub async fn read(&self, namespace: &Namespace) -> Result<Option<Reading>, Error> {
        // `list table` fails alike for a missing table and for any other
        // trouble; the ruleset can always be listed.
        let listing = self.run(namespace, &["-j", "-n", "list", "ruleset", "bridge"], "").await?;
        let listing = serde_json::from_slice(&listing)
            .map_err(|error| Error::Listing { what: error.to_string() })?;
        reading(listing)
    }

    /// How the constant rules read where nobody touched them: they are put
    /// into a namespace that nothing else uses. Tells as well whether this
    /// kernel can do all that they need, before anything of a tenant depends
    /// on it.
    ///
    /// # Errors
    /// When the kernel or nft cannot do it.
    pub async fn rehearse(&self) -> Result<Reading, Error> {
        let scratch = Namespace::scratch()?;
        self.apply(&scratch, rules::CONSTANT).await?;
        let missing = || Error::Listing { what: format!("no table {TABLE} after adding it") };
        self.read(&scratch).await?.ok_or_else(missing)
    }

    async fn run(
        &self,
        namespace: &Namespace,
        arguments: &[&str],
        input: &str,
    ) -> Result<Vec<u8>, Error> {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        let (namespace, input) = (namespace.clone(), input.to_owned());
        let program = self.program.to_string_lossy().into_owned();
        let work = move || namespace.run(move || feed(command, &input));
        let joined = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other);
        let output = match joined {
            Ok(entered) => entered?,
            Err(error) => Err(error),
        };
        let output = output.map_err(|source| Error::Spawn { program, source })?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Refused { message });
        }
        Ok(output.stdout)
    }
}

/// Runs a command with an input. A child has the namespace of the thread that
/// starts it.
fn feed(mut command: Command, input: &str) -> std::io::Result<std::process::Output> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let fed = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // One that refuses early reads no further; what it says matters more.
    if output.status.success() {
        fed?;
    }
    Ok(output)
}

/// Takes a listing apart into what is constant and what is not.
fn reading(listing: Value) -> Result<Option<Reading>, Error> {
    let unreadable = |what: &str| Error::Listing { what: what.to_owned() };
    let Value::Object(mut listing) = listing else { return Err(unreadable("not an object")) };
    let Some(Value::Array(objects)) = listing.remove("nftables") else {
        return Err(unreadable("no list of objects"));
    };
    let mut reading = Reading::default();
    let mut found = false;
    for mut object in objects {
        if !is_ours(&object) {
            continue;
        }
        found = true;
        take_elements(&mut object, &mut reading.elements)?;
        forget_counts(&mut object);
        reading.constant.push_str(&object.to_string());
        reading.constant.push('\n');
    }
    Ok(found.then_some(reading))
}

fn is_ours(object: &Value) -> bool {
    let Some((kind, body)) = object.as_object().and_then(|object| object.iter().next()) else {
        return false;
    };
    let key = if kind == "table" { "name" } else { "table" };
    body.get(key).and_then(Value::as_str) == Some(TABLE)
}

fn take_elements(object: &mut Value, elements: &mut Elements) -> Result<(), Error> {
    for kind in ["set", "map"] {
        let Some(body) = object.get_mut(kind).and_then(Value::as_object_mut) else { continue };
        let Some(Value::Array(found)) = body.remove("elem") else { continue };
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        if name == rules::COUNTED {
            continue;
        }
        for element in &found {
            let text = element_text(element)
                .ok_or_else(|| Error::Listing { what: format!("element {element} of {name}") })?;
            elements.insert(name, text);
        }
    }
    Ok(())
}

/// An element as it is written in a batch.
fn element_text(element: &Value) -> Option<String> {
    match element {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(pair) => match pair.as_slice() {
            [key, value] => Some(format!("{} : {}", element_text(key)?, element_text(value)?)),
            _ => None,
        },
        Value::Object(object) => {
            let parts = object.get("concat")?.as_array()?;
            let parts: Option<Vec<String>> = parts.iter().map(element_text).collect();
            Some(parts?.join(" . "))
        }
        Value::Null | Value::Bool(_) => None,
    }
}

/// Removes what differs by itself: handles, counts, the order of sets.
fn forget_counts(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("handle");
            if let Some(counter) = object.get_mut("counter") {
                *counter = Value::Null;
            }
            // The kernel lists a hash in an order of its own choice.
            if let Some(Value::Array(items)) = object.get_mut("set") {
                items.sort_by_cached_key(Value::to_string);
            }
            object.values_mut().for_each(forget_counts);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_counts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
