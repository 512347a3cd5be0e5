//! Writes images in the OCI image layout, as the one tar stream that containerd
//! imports: layers, a configuration, a manifest and an index.
//!
//! Formats: OCI image specification 1.1 (layout, manifest, configuration).

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes named by their SHA-256.
#[derive(Debug, Clone)]
pub struct Blob {
    digest: String,
    size: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Blob {
    /// A file whose digest (hex) the caller knows.
    pub fn file(path: PathBuf, digest: String) -> Result<Self> {
        let metadata = path.metadata().with_context(|| format!("look at {}", path.display()))?;
        Ok(Self { digest, size: metadata.len(), content: Content::File(path) })
    }

    fn json(value: &Value) -> Self {
        let bytes = value.to_string().into_bytes();
        Self {
            digest: hex::encode(Sha256::digest(&bytes)),
            size: bytes.len() as u64,
            content: Content::Bytes(bytes),
        }
    }

    /// The SHA-256 as hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The file that holds the bytes, if one does.
    pub fn path(&self) -> Option<&Path> {
        match &self.content {
            Content::File(path) => Some(path),
            Content::Bytes(_) => None,
        }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.size,
        })
    }

    fn reader(&self) -> Result<Box<dyn Read + '_>> {
        Ok(match &self.content {
            Content::File(path) => Box::new(File::open(path)?),
            Content::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
        })
    }
}

/// An image that is complete but for its name.
#[derive(Debug, Clone)]
pub struct Image {
    layers: Vec<Blob>,
    config: Blob,
    manifest: Blob,
}

impl Image {
    /// Composes an image; `runtime` is the configuration's `config` object
    /// (`Entrypoint`, `User`, `Env`, `Labels`).
    pub fn new(layers: Vec<Blob>, mut runtime: Value) -> Self {
        let mut env = vec![json!(PATH)];
        env.extend(runtime["Env"].as_array().cloned().unwrap_or_default());
        runtime["Env"] = Value::Array(env);
        let diff_ids: Vec<_> =
            layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
        let config = Blob::json(&json!({
            "architecture": "amd64",
            "os": "linux",
            "config": runtime,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(CONFIG_TYPE),
            "layers": layers.iter().map(|layer| layer.descriptor(LAYER_TYPE)).collect::<Vec<_>>(),
        }));
        Self { layers, config, manifest }
    }

    /// A tag that changes with the content: the head of the manifest's digest,
    /// after letters, since Helm takes a tag of digits alone for a number.
    pub fn content_tag(&self) -> String {
        format!("sha-{}", &self.manifest.digest[..12])
    }

    /// Writes the image under the name `reference` (`name:tag`), without those
    /// blobs that `present` says the receiver has (it is asked with hex digests).
    pub fn write(
        &self,
        reference: &str,
        present: impl Fn(&str) -> bool,
        out: impl Write,
    ) -> Result<()> {
        let mut manifest = self.manifest.descriptor(MANIFEST_TYPE);
        manifest["annotations"] = json!({"io.containerd.image.name": reference});
        manifest["platform"] = json!({"architecture": "amd64", "os": "linux"});
        let index = Blob::json(&json!({"schemaVersion": 2, "manifests": [manifest]}));
        let layout = Blob::json(&json!({"imageLayoutVersion": "1.0.0"}));

        let mut tar = Builder::new(BufWriter::new(out));
        append(&mut tar, "oci-layout", &layout)?;
        append(&mut tar, "index.json", &index)?;
        let blobs = [&self.manifest, &self.config].into_iter().chain(&self.layers);
        for blob in blobs.filter(|blob| !present(&blob.digest)) {
            append(&mut tar, &format!("blobs/sha256/{}", blob.digest), blob)?;
        }
        tar.into_inner()?.flush().context("write the end of an image")
    }
}

fn append<W: Write>(tar: &mut Builder<W>, name: &str, blob: &Blob) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(blob.size);
    tar.append_data(&mut header, name, blob.reader()?).with_context(|| format!("write {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files = std::collections::BTreeMap<String, Vec<u8>>;

    fn written(image: &Image, present: impl Fn(&str) -> bool) -> Files {
        let mut archive = Vec::new();
        image.write("suigen.dev/x:1", present, &mut archive).unwrap();
        let mut files = Files::new();
        for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().to_string_lossy().into_owned(), bytes);
        }
        files
    }

    fn image_of(dir: &Path, content: &str) -> Image {
        let layer = dir.join("layer");
        std::fs::write(&layer, content).unwrap();
        let blob = Blob::file(layer, hex::encode(Sha256::digest(content))).unwrap();
        Image::new(vec![blob], json!({"Env": ["A=1"], "User": "1"}))
    }

    #[test]
    fn every_descriptor_names_a_blob_in_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        let files = written(&image_of(dir.path(), "layer"), |_| false);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &files[&format!("blobs/sha256/{digest}")];
            assert_eq!(hex::encode(Sha256::digest(bytes)), digest);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
            bytes.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(blob(&manifest["layers"][0]), b"layer");
        assert_eq!(config["config"]["Env"], json!([PATH, "A=1"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    }

    #[test]
    fn what_the_receiver_has_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let layer = hex::encode(Sha256::digest("layer"));
        let files = written(&image_of(dir.path(), "layer"), |digest| digest == layer);
        assert!(!files.contains_key(&format!("blobs/sha256/{layer}")));
        assert_eq!(files.len(), 4, "layout, index, manifest, configuration");
    }
}
