//! What an image says of itself, as `qemu-img` reads it.

use serde_json::Value;
use suigen_crds::disk::ImageSource;

use super::ImageError;
use crate::hypervisor::qemu::args::BaseFormat;
use crate::hypervisor::qemu::jail::Bind;
use crate::hypervisor::qemu::residence;
use crate::storage::image_tool::{ImageTool, ToolError};

/// The size of the disk in the image, in bytes.
pub(super) fn inspect(
    tool: &ImageTool,
    source: &ImageSource,
    format: BaseFormat,
    bind: Bind,
) -> Result<u64, ImageError> {
    let name = match format {
        BaseFormat::Raw => "raw",
        BaseFormat::Qcow2 => "qcow2",
    };
    let url = &source.url;
    let unreadable =
        |source: ToolError| ImageError::Unreadable { url: url.clone(), format: name, source };
    let path = residence::image(&source.sha256);
    let text =
        tool.call(&["info", "--output=json", "-f", name, &path], vec![bind]).map_err(unreadable)?;
    judge(&text).map_err(|verdict| match verdict {
        Verdict::Refers(what) => ImageError::RefersToOtherFiles { url: url.clone(), what },
        Verdict::Unreadable(said) => unreadable(ToolError::Failed {
            command: "info".into(),
            status: "exit status: 0".into(),
            said,
        }),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Refers(String),
    Unreadable(String),
}

fn judge(text: &str) -> Result<u64, Verdict> {
    let info: Value =
        serde_json::from_str(text).map_err(|error| Verdict::Unreadable(error.to_string()))?;
    if let Some(file) = info["backing-filename"].as_str() {
        return Err(Verdict::Refers(format!("has the backing file {file:?}")));
    }
    let data = &info["format-specific"]["data"];
    if let Some(file) = data["data-file"].as_str() {
        return Err(Verdict::Refers(format!("keeps its data in another file, {file:?}")));
    }
    if data["data-file-raw"] == true {
        return Err(Verdict::Refers("keeps its data in another file".into()));
    }
    if info["encrypted"] == true || !data["encrypt"].is_null() {
        return Err(Verdict::Refers("is encrypted, and its key is not here".into()));
    }
    info["virtual-size"]
        .as_u64()
        .filter(|size| *size > 0)
        .ok_or_else(|| Verdict::Unreadable("it has no size".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(info: &Value) -> Result<u64, Verdict> {
        judge(&info.to_string())
    }

    #[test]
    fn only_an_image_that_stands_by_itself_is_used() {
        let good =
            json!({ "virtual-size": 1024, "format-specific": { "data": { "compat": "1.1" } } });
        assert_eq!(judged(&good), Ok(1024));
        let refers = [
            json!({ "virtual-size": 1024, "backing-filename": "/etc/shadow" }),
            json!({ "virtual-size": 1024, "format-specific": { "data": { "data-file": "nbd:x" } } }),
            json!({ "virtual-size": 1024, "format-specific": { "data": { "data-file-raw": true } } }),
            json!({ "virtual-size": 1024, "encrypted": true }),
            json!({ "virtual-size": 1024, "format-specific": { "data": { "encrypt": {} } } }),
        ];
        for info in refers {
            assert!(matches!(judged(&info), Err(Verdict::Refers(_))), "{info}");
        }
        for info in [json!({}), json!({ "virtual-size": 0 }), json!([])] {
            assert!(matches!(judged(&info), Err(Verdict::Unreadable(_))), "{info}");
        }
        assert!(judge("not json").is_err());
    }
}
