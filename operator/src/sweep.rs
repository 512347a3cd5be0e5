//! Evidence for sweepers: what is left over is taken away only when the API
//! server itself says that nobody needs it. A store that does not show an
//! object is no evidence, nor is an object that cannot be read.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject, NamespaceResourceScope};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource};
use serde_json::Value;
use suigen_crds::ident::Uid;

use crate::context::Context;
use crate::write::{Error, Ours};

/// What is younger is left alone: whoever made it may be about to write what
/// it is for.
pub const YOUNG: SignedDuration = SignedDuration::from_secs(60);
/// How often what lives is looked at when nothing changes.
pub const AGAIN: Duration = Duration::from_secs(60);

/// An owner, as the API server has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Owner {
    /// It is there. Its content as far as it goes, never taken for readable.
    There(Value),
    /// It is not there, or another one of its name is.
    Gone,
    /// It is not there, but its CRD is not in order either: no evidence.
    Doubtful,
}

/// For how much longer an object counts as young.
pub fn youth(meta: &ObjectMeta, now: Timestamp) -> Option<Duration> {
    let born = meta.creation_timestamp.as_ref()?.0;
    let left = YOUNG.checked_sub(now.duration_since(born))?;
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// Whether a store shows an object of this UID.
pub fn shows<K>(store: &Store<K>, namespace: &str, name: &str, uid: &Uid) -> bool
where
    K: Ours + Resource<Scope = NamespaceResourceScope> + 'static,
{
    let found = store.get(&ObjectRef::new(name).within(namespace));
    found.is_some_and(|object| object.meta().uid.as_deref() == Some(uid.as_str()))
}

/// Reads an owner from the API server, past every store.
///
/// # Errors
/// When the API server does not answer.
pub async fn owner<K>(ctx: &Context, namespace: &str, name: &str, uid: &Uid) -> Result<Owner, Error>
where
    K: Ours + Resource<Scope = NamespaceResourceScope>,
{
    let failed = |source| Error::of("read", format!("{} {namespace}/{name}", K::kind(&())), source);
    let found = raw::<K>(ctx, namespace).get_opt(name).await.map_err(failed)?;
    match found {
        Some(object) if object.metadata.uid.as_deref() == Some(uid.as_str()) => {
            Ok(Owner::There(object.data))
        }
        Some(_) => Ok(Owner::Gone),
        None if ctx.crd_is_terminating(&K::plural(&())).await.map_err(failed)? => {
            Ok(Owner::Doubtful)
        }
        None => Ok(Owner::Gone),
    }
}

/// The objects of a namespace, whether they can be read or not.
pub fn raw<K>(ctx: &Context, namespace: &str) -> Api<DynamicObject>
where
    K: Ours + Resource<Scope = NamespaceResourceScope>,
{
    let resource = ApiResource::erase::<K>(&());
    Api::namespaced_with(ctx.client.clone(), namespace, &resource)
}

/// Names for a sentence: three at most, and how many more there are.
pub fn listed(names: &[String]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() && names.len() <= 3 => {
            format!("{} and {last}", first.join(", "))
        }
        [a, b, c, more @ ..] => format!("{a}, {b}, {c} and {} more", more.len()),
        few => few.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn only_the_first_minute_counts_as_youth() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let meta = ObjectMeta { creation_timestamp: Some(Time(at(100))), ..ObjectMeta::default() };
        assert_eq!(youth(&meta, at(100)), Some(Duration::from_secs(60)));
        assert_eq!(youth(&meta, at(159)), Some(Duration::from_secs(1)));
        assert_eq!(youth(&meta, at(160)), None);
        assert!(youth(&meta, at(90)).is_some(), "a clock behind the API server's");
    }

    #[test]
    fn three_names_are_enough() {
        let names = ["a", "b", "c", "d", "e"].map(String::from);
        let said = [0, 1, 2, 3, 5].map(|n| listed(&names[..n]));
        assert_eq!(said, ["", "a", "a and b", "a, b and c", "a, b, c and 2 more"]);
    }
}
