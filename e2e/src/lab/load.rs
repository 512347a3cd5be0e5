//! Brings images into the nodes of a running lab.

use std::thread;

use anyhow::{Context, Result, anyhow};

use super::Lab;
use super::node::Node;
use crate::artifact::image::Image;

/// Imports the images on every node that is on; a node that has them already
/// is not touched.
pub fn load(lab: &Lab, images: &[&Image]) -> Result<()> {
    let nodes: Vec<Node<'_>> =
        lab.nodes()?.into_iter().map(|index| Node::new(lab, index)).collect();
    thread::scope(|scope| {
        let imports: Vec<_> = nodes
            .iter()
            .filter(|node| node.is_on().unwrap_or(false))
            .map(|node| (node.name(), scope.spawn(move || node.import(images))))
            .collect();
        for (name, import) in imports {
            import
                .join()
                .map_err(|_| anyhow!("panicked"))?
                .with_context(|| format!("load images on {name}"))?;
        }
        Ok(())
    })
}
