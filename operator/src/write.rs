//! Writing to the API server: the only place that does.
//!
//! Conditions are applied (server-side, forced: they are ours). What is given
//! out is a merge patch that carries the resourceVersion it was decided on.

use std::fmt::Debug;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use suigen_crds::FINALIZER;

use crate::context::{Context, MANAGER, PLACEMENT_MANAGER};
use crate::metrics::count;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object changed since it was read.
    #[error("{action} {object}: it changed meanwhile")]
    Conflict {
        /// What was tried.
        action: &'static str,
        /// On which object.
        object: String,
    },
    /// The object is gone.
    #[error("{action} {object}: it is gone")]
    Gone {
        /// What was tried.
        action: &'static str,
        /// On which object.
        object: String,
    },
    /// An object of this name exists.
    #[error("{action} {object}: there is one already")]
    Exists {
        /// What was tried.
        action: &'static str,
        /// On which object.
        object: String,
    },
    /// The API server refused, or did not answer.
    #[error("{action} {object}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// On which object.
        object: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// One word for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::Gone { .. } => "Gone",
            Self::Exists { .. } => "Exists",
            Self::Api { .. } => "ApiServerRefused",
        }
    }

    /// What the API server said when it understood and refused, such as a quota
    /// or a policy; none for anything else.
    pub fn refusal(&self) -> Option<&str> {
        let Self::Api { source, .. } = self else { return None };
        match &**source {
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
                Some(&status.message)
            }
            _ => None,
        }
    }

    /// Whether the next look will do better by itself.
    pub const fn is_race(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Gone { .. })
    }

    /// Puts an answer of the API server into our words.
    pub fn of(action: &'static str, object: String, source: kube::Error) -> Self {
        match &source {
            kube::Error::Api(status) if status.code == 404 => Self::Gone { action, object },
            kube::Error::Api(status) if status.is_already_exists() => {
                Self::Exists { action, object }
            }
            kube::Error::Api(status) if status.code == 409 => Self::Conflict { action, object },
            _ => Self::Api { action, object, source: Box::new(source) },
        }
    }
}

/// `namespace/name` of an object, or its name alone.
pub fn name_of<K: Resource>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

/// An object of a kind that Suigen defines.
pub trait Ours: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize {}
impl<K> Ours for K where K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize
{}

/// The API of an object's namespace.
pub fn api_of<K>(ctx: &Context, object: &K) -> Api<K>
where
    K: Ours + Resource<Scope = NamespaceResourceScope>,
{
    Api::namespaced(ctx.client.clone(), &object.namespace().unwrap_or_default())
}

/// Applies our part of a status.
///
/// # Errors
/// When the API server does not take it, or the object is another by now.
pub async fn status<K: Ours>(
    ctx: &Context,
    api: &Api<K>,
    object: &K,
    status: Value,
) -> Result<K, Error> {
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.meta().uid },
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    let written = api.patch_status(&object.name_any(), &params, &Patch::Apply(&body)).await;
    finish(ctx, written, "write status of", "status", object)
}

/// Writes a part of a status that is given out: it fails when the object
/// changed since it was read.
///
/// # Errors
/// When the API server does not take it, or the object changed.
pub async fn give_out<K: Ours>(
    ctx: &Context,
    api: &Api<K>,
    object: &K,
    part: &'static str,
    status: Value,
) -> Result<K, Error> {
    let body = json!({
        "metadata": { "resourceVersion": object.resource_version(), "uid": object.meta().uid },
        "status": status,
    });
    let params =
        PatchParams { field_manager: Some(PLACEMENT_MANAGER.into()), ..PatchParams::default() };
    let written = api.patch_status(&object.name_any(), &params, &Patch::Merge(&body)).await;
    finish(ctx, written, "give out", part, object)
}

/// Binds: writes a part of a spec that is ours; it fails when the object changed
/// since it was read.
///
/// # Errors
/// When the API server does not take it, or the object changed.
pub async fn bind<K: Ours>(
    ctx: &Context,
    api: &Api<K>,
    object: &K,
    spec: Value,
) -> Result<K, Error> {
    let body = json!({
        "metadata": { "resourceVersion": object.resource_version(), "uid": object.meta().uid },
        "spec": spec,
    });
    let params =
        PatchParams { field_manager: Some(PLACEMENT_MANAGER.into()), ..PatchParams::default() };
    let written = api.patch(&object.name_any(), &params, &Patch::Merge(&body)).await;
    finish(ctx, written, "bind", "binding", object)
}

/// Adds or removes our finalizer.
///
/// # Errors
/// When the API server does not take it, or the object changed.
pub async fn finalizer<K: Ours>(
    ctx: &Context,
    api: &Api<K>,
    object: &K,
    wanted: bool,
) -> Result<K, Error> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|name| name != FINALIZER);
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    }
    let body = json!({ "metadata": {
        "resourceVersion": object.resource_version(),
        "uid": object.meta().uid,
        "finalizers": finalizers,
    }});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let written = api.patch(&object.name_any(), &params, &Patch::Merge(&body)).await;
    finish(ctx, written, "write the finalizer of", "finalizer", object)
}

/// Creates an object.
///
/// # Errors
/// When the API server does not take it, or there is one of that name.
pub async fn create<K: Ours>(ctx: &Context, api: &Api<K>, object: &K) -> Result<K, Error> {
    let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
    let written = api.create(&params, object).await;
    finish(ctx, written, "create", "create", object)
}

/// Deletes exactly this object. One that is gone is as good.
///
/// # Errors
/// When the API server does not take it.
pub async fn delete<K: Ours>(ctx: &Context, api: &Api<K>, object: &K) -> Result<(), Error> {
    remove(ctx, api, object, None).await
}

/// Deletes exactly this object, if it is still as it was read. One that is
/// gone is as good.
///
/// # Errors
/// When the API server does not take it, or the object changed.
pub async fn delete_unchanged<K: Ours>(
    ctx: &Context,
    api: &Api<K>,
    object: &K,
) -> Result<(), Error> {
    remove(ctx, api, object, object.resource_version()).await
}

async fn remove<K: Ours>(
    ctx: &Context,
    api: &Api<K>,
    object: &K,
    resource_version: Option<String>,
) -> Result<(), Error> {
    let preconditions = Preconditions { uid: object.uid(), resource_version };
    let params = DeleteParams::default().preconditions(preconditions);
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => count(&ctx.metrics.writes, kind_word::<K>(), "delete"),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(source) => return Err(Error::of("delete", name_of(object), source)),
    }
    Ok(())
}

fn finish<K: Ours>(
    ctx: &Context,
    written: kube::Result<K>,
    action: &'static str,
    part: &'static str,
    object: &K,
) -> Result<K, Error> {
    let written = written.map_err(|source| Error::of(action, name_of(object), source))?;
    count(&ctx.metrics.writes, kind_word::<K>(), part);
    ctx.written.note(written.meta());
    Ok(written)
}

/// A kind's name as a word that lives as long as the program, for labels.
fn kind_word<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(word) => word,
        std::borrow::Cow::Owned(_) => "other",
    }
}
