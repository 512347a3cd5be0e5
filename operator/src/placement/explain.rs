//! Why no hypervisor takes a server, in words that a person can act on.

use std::fmt;

use suigen_crds::quantity::human;

use super::{Closed, Misfit, NoRoom};

/// More hypervisors than this are summed up.
const NAMED: usize = 12;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.misfits.is_empty() {
            return f.write_str(
                "there is no hypervisor: label a node suigen.dev/role-hypervisor and wait for its node-daemon",
            );
        }
        if let Some(pinned) = &self.pinned {
            return self.pinned_to(pinned.as_str(), f);
        }
        f.write_str("no hypervisor has room: ")?;
        for (index, (node, against)) in self.misfits.iter().take(NAMED).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{node}: {}", List(against))?;
        }
        match self.misfits.len().checked_sub(NAMED) {
            Some(more @ 1..) => write!(f, "; and {more} more"),
            Some(0) | None => Ok(()),
        }
    }
}

impl NoRoom {
    fn pinned_to(&self, pinned: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.misfits.iter().find(|(node, _)| node.as_str() == pinned) {
            Some((node, against)) => {
                write!(
                    f,
                    "{node}, which keeps a disk of the server, has no room: {}",
                    List(against)
                )
            }
            None => write!(f, "{pinned}, which keeps a disk of the server, is no hypervisor now"),
        }
    }
}

struct List<'a>(&'a [Misfit]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, misfit) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{misfit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(closed) => closed.fmt(f),
            Self::DiskElsewhere(node) => write!(f, "a disk of the server is on {node}"),
            Self::RefusedLately(said) => write!(f, "refused the server lately ({said})"),
            Self::Lacks(features) => {
                write!(f, "lacks {}, which a Guaranteed class needs", features.join(" and "))
            }
            Self::LacksForNetworks(features) => {
                write!(f, "lacks {}, which network interfaces need", features.join(" and "))
            }
            Self::NoUnderlay => f.write_str("has no tunnel end point for tenants' networks"),
            Self::Mtu(carries, needs) => write!(
                f,
                "carries {carries} byte packets at most, network {} needs {}",
                needs.network, needs.mtu
            ),
            Self::Memory(need, free) => {
                write!(f, "needs {} memory, {} free", human(*need), human((*free).max(0)))
            }
            Self::Cpu(need, free) => {
                write!(f, "needs {need} CPU millis, {} free", (*free).max(0))
            }
            Self::Disk(need, free) => {
                write!(f, "needs {} of local disk, {} free", human(*need), human((*free).max(0)))
            }
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("scheduling is Disabled"),
            Self::Deleted => f.write_str("its Hypervisor is being deleted"),
            Self::NotQualified(why) => write!(f, "not qualified ({why})"),
            Self::NotHeardOf => f.write_str("its node-daemon was not heard of lately"),
            Self::Incomplete => {
                f.write_str("its node-daemon has not yet reported its log and capacity")
            }
            Self::Unreadable(object) => {
                write!(f, "{object} on it cannot be read, so its free room is not known")
            }
        }
    }
}
