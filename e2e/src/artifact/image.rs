//! The images of the charts, built from their Containerfiles without a
//! container engine, and the pause image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::cache::{Cache, Key};
use super::containerfile::{self, Containerfile, Copy};
use super::layer::{self, Source};
use super::oci;
use crate::progress::step;

/// The name of the image that holds a pod's namespaces.
pub const PAUSE: &str = "suigen.dev/lab/pause:1";

/// An image file that nodes can import.
#[derive(Debug, Clone)]
pub struct Image {
    /// `name:tag`, as a pod names it.
    pub reference: String,
    /// The OCI archive.
    pub path: PathBuf,
}

impl Image {
    /// The part after the colon.
    pub fn tag(&self) -> &str {
        self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag)
    }
}

/// The named contexts that a Containerfile copies from.
#[derive(Debug)]
pub struct Contexts {
    /// The root file system that stands for the base image.
    pub base: PathBuf,
    /// Directories by the name that `COPY --from=` uses; all in the cache.
    pub named: BTreeMap<&'static str, PathBuf>,
}

/// Builds the image `suigen.dev/<name>` from `dir/Containerfile`, tagged by content.
pub fn build(cache: &Cache, name: &str, dir: &Path, contexts: &Contexts) -> Result<Image> {
    let path = dir.join("Containerfile");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let file = containerfile::parse(&text).with_context(|| path.display().to_string())?;
    if file.from != "debian:trixie-slim" {
        bail!("{}: the base must be debian:trixie-slim, not {}", path.display(), file.from);
    }
    let mut layers = vec![layer::ensure(cache, &Source::Artifact(contexts.base.clone()), "")?];
    for copy in &file.copies {
        layers.push(copied(cache, copy, contexts)?);
    }
    finish(cache, &format!("suigen.dev/{name}"), &oci::Image::new(layers, runtime(&file)))
}

fn copied(cache: &Cache, copy: &Copy, contexts: &Contexts) -> Result<oci::Blob> {
    let Some(context) = contexts.named.get(copy.context.as_str()) else {
        bail!("COPY --from={}: no such build context", copy.context);
    };
    let whole = copy.source == ".";
    let path = if whole { context.clone() } else { context.join(&copy.source) };
    let destination = copy.destination.trim_start_matches('/');
    let destination = match destination.strip_suffix('/') {
        Some(dir) if whole => dir.to_owned(),
        Some(dir) => format!("{dir}/{}", copy.source),
        None => destination.to_owned(),
    };
    let source = if whole { Source::Artifact(path) } else { Source::File(path) };
    layer::ensure(cache, &source, &destination)
}

fn runtime(file: &Containerfile) -> serde_json::Value {
    json!({
        "Entrypoint": file.entrypoint,
        "User": file.user.clone().unwrap_or_default(),
        "Env": file.env,
        "Labels": file.labels,
    })
}

fn finish(cache: &Cache, name: &str, image: &oci::Image) -> Result<Image> {
    let reference = format!("{name}:{}", image.content_tag());
    let short = name.rsplit('/').next().unwrap_or(name);
    let dir =
        cache.ensure(&format!("image-{short}"), &Key::new("image 1").text(&reference), |out| {
            step(&format!("write the image {reference}"), || {
                image.write(&reference, &out.join("image.tar"))
            })
        })?;
    Ok(Image { reference, path: dir.join("image.tar") })
}

/// Builds the pause image from the program `pause`.
pub fn pause(cache: &Cache, program: &Path) -> Result<Image> {
    let layer = layer::ensure(cache, &Source::File(program.to_owned()), "pause")?;
    let image =
        oci::Image::new(vec![layer], json!({"Entrypoint": ["/pause"], "User": "65535:65535"}));
    let key = Key::new("pause 1").text(image.content_tag());
    let dir =
        cache.ensure("image-pause", &key, |out| image.write(PAUSE, &out.join("image.tar")))?;
    Ok(Image { reference: PAUSE.to_owned(), path: dir.join("image.tar") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts(dir: &Path) -> Contexts {
        for (name, content) in [("base/etc", "etc"), ("build/tool", "1"), ("bundle/b1/q", "q")] {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Contexts {
            base: dir.join("base"),
            named: [("build", dir.join("build")), ("bundle", dir.join("bundle"))].into(),
        }
    }

    #[test]
    fn the_tag_follows_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let contexts = contexts(dir.path());
        let recipe = "FROM debian:trixie-slim\nCOPY --from=build tool /usr/bin/tool\nCOPY --from=bundle . /bundles/\n";
        fs::write(dir.path().join("Containerfile"), recipe).unwrap();
        let build = || build(&cache, "tool", dir.path(), &contexts).unwrap().reference;
        let (first, again) = (build(), build());
        assert_eq!(first, again);
        fs::write(dir.path().join("build/tool"), "2").unwrap();
        assert_ne!(first, build());
    }

    #[test]
    fn an_unknown_context_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let contexts = contexts(dir.path());
        fs::write(
            dir.path().join("Containerfile"),
            "FROM debian:trixie-slim\nCOPY --from=x a /a\n",
        )
        .unwrap();
        let error = build(&cache, "tool", dir.path(), &contexts).unwrap_err();
        assert!(error.to_string().contains("--from=x"), "{error}");
    }
}
