//! The images of the charts, built from their Containerfiles without a
//! container engine, and the pause image.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::cache::{Cache, Key};
use super::containerfile::{self, Containerfile, Copy};
use super::layer::{self, Source};
use super::oci;

/// The name of the image that holds a pod's namespaces.
pub const PAUSE: &str = "suigen.dev/lab/pause:1";

/// An image with its name, ready to be sent to nodes.
#[derive(Debug, Clone)]
pub struct Image {
    /// `name:tag`, as a pod names it.
    pub reference: String,
    content: oci::Image,
}

impl Image {
    /// Names an image by its content.
    fn tagged(name: &str, content: oci::Image) -> Self {
        Self { reference: format!("{name}:{}", content.content_tag()), content }
    }

    /// The part after the colon.
    pub fn tag(&self) -> &str {
        self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag)
    }

    /// Writes the image as containerd imports it, without the blobs (hex
    /// digests) that the receiver has.
    pub fn write(&self, present: impl Fn(&str) -> bool, out: impl Write) -> Result<()> {
        self.content.write(&self.reference, present, out)
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

/// Builds the image `suigen.dev/<name>` from `dir/<name>/Containerfile`, tagged by
/// content; `labels` are added to those of the file.
pub fn build(
    cache: &Cache,
    dir: &Path,
    name: &str,
    contexts: &Contexts,
    labels: &[(&str, &str)],
) -> Result<Image> {
    let path = dir.join(name).join("Containerfile");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut file = containerfile::parse(&text).with_context(|| path.display().to_string())?;
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    file.labels.extend(labels.iter().map(owned));
    if file.from != "debian:trixie-slim" {
        bail!("{}: the base must be debian:trixie-slim, not {}", path.display(), file.from);
    }
    let mut layers = vec![layer::ensure(cache, &Source::Artifact(contexts.base.clone()), "")?];
    for copy in &file.copies {
        layers.push(copied(cache, copy, contexts)?);
    }
    let content = oci::Image::new(layers, runtime(&file));
    Ok(Image::tagged(&format!("suigen.dev/{name}"), content))
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

/// Writes the pause image, made of the program `pause`, and returns its archive.
pub fn pause(cache: &Cache, program: &Path) -> Result<PathBuf> {
    let layer = layer::ensure(cache, &Source::File(program.to_owned()), "pause")?;
    let content =
        oci::Image::new(vec![layer], json!({"Entrypoint": ["/pause"], "User": "65535:65535"}));
    let key = Key::new("pause 2").text(&content.content_tag());
    let dir = cache.ensure("image-pause", &key, |out| {
        content.write(PAUSE, |_| false, File::create(out.join("image.tar"))?)
    })?;
    Ok(dir.join("image.tar"))
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

    fn write_recipe(dir: &Path, recipe: &str) {
        fs::create_dir_all(dir.join("tool")).unwrap();
        fs::write(dir.join("tool/Containerfile"), recipe).unwrap();
    }

    #[test]
    fn the_tag_follows_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let contexts = contexts(dir.path());
        let recipe = "FROM debian:trixie-slim\nCOPY --from=build tool /usr/bin/tool\nCOPY --from=bundle . /bundles/\n";
        write_recipe(dir.path(), recipe);
        let build = |labels: &[(&str, &str)]| {
            build(&cache, dir.path(), "tool", &contexts, labels).unwrap().reference
        };
        let (first, again) = (build(&[]), build(&[]));
        assert_eq!(first, again);
        assert_ne!(first, build(&[("generation", "next")]));
        fs::write(dir.path().join("build/tool"), "2").unwrap();
        assert_ne!(first, build(&[]));
    }

    #[test]
    fn an_unknown_context_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let contexts = contexts(dir.path());
        write_recipe(dir.path(), "FROM debian:trixie-slim\nCOPY --from=x a /a\n");
        let error = build(&cache, dir.path(), "tool", &contexts, &[]).unwrap_err();
        assert!(error.to_string().contains("--from=x"), "{error}");
    }
}
