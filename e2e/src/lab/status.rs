//! The lab at a glance.

use std::fmt::Write;

use anyhow::Result;

use super::Lab;
use super::address::{CONTROL_PLANE, FILES_PORT};
use super::control_plane::UNITS;
use super::fault;
use super::unit::Unit;

/// Describes what runs, what does not, and how to get in.
pub fn describe(lab: &Lab) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "lab {} in {}", lab.state.id, lab.path("").display())?;
    writeln!(text, "  API        https://127.0.0.1:{}", lab.state.api_port)?;
    writeln!(text, "  kubeconfig {}", lab.kubeconfig().display())?;
    writeln!(
        text,
        "  files      http://{CONTROL_PLANE}:{FILES_PORT}/ <- {}",
        lab.path("www").display()
    )?;
    for name in UNITS {
        line(&mut text, &lab.unit(name), "")?;
    }
    for node in lab.nodes()? {
        line(&mut text, &lab.unit(&node.name()), &node.address().to_string())?;
    }
    if lab.control_plane_net().is_ok() {
        for cut in fault::cuts(lab)? {
            writeln!(text, "  cut        {cut}")?;
        }
    }
    Ok(text)
}

fn line(text: &mut String, unit: &Unit, address: &str) -> Result<()> {
    let state = match unit.running()? {
        Some(record) if unit.cgroup().is_frozen() => format!("frozen  pid {}", record.pid),
        Some(record) => format!("running pid {}", record.pid),
        None => "off".to_owned(),
    };
    writeln!(text, "  {:<26} {state:<20} {address}", unit.name)?;
    Ok(())
}
