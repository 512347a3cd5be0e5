//! A task's first moment: what is known of a server before the API was asked.

use std::sync::Arc;

use suigen_crds::ident::Uid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::adopt::Remains;
use super::event::Event;
use super::guest::Handle;
use super::incarnation::{Ended, Incarnation};
use super::node::Node;
use super::read::Known;
use super::situation::{Ending, Guest, PowerOff, Volumes};
use super::task::Task;
use crate::metrics::Reason;
use crate::report::runtime::explain;
use crate::right::Log;

impl Task {
    /// A task for a server that was seen for the first time.
    #[must_use]
    pub fn new(
        node: Arc<Node>,
        uid: Uid,
        sender: UnboundedSender<Event>,
        queue: UnboundedReceiver<Event>,
    ) -> Self {
        let log = Log::open(&node.paths.right(&uid));
        let record =
            Incarnation::read(&node.paths.incarnation_record(&uid)).unwrap_or_else(|error| {
                tracing::error!(%uid, error = %explain(&error), "record not read");
                None
            });
        if let Err(error) = &log {
            let reason = error.reason();
            node.metrics.log_errors.get_or_create(&Reason { reason }).inc();
            tracing::error!(%uid, reason, error = error.explain(), "run right frozen");
        }
        let held = log.as_ref().ok().and_then(|log| log.history().held.clone());
        if let Some(held) = &held {
            node.ledger.count(&uid, held.memory_bytes);
        }
        let name = record
            .as_ref()
            .map(|record| (record.namespace.clone(), record.name.clone()))
            .or_else(|| held.map(|held| (held.namespace, held.name)));
        Self {
            node,
            uid,
            sender,
            queue,
            name,
            log,
            record,
            known: Known::nothing(),
            guest: Guest::Absent,
            detail: String::new(),
            handle: None,
            volumes: Volumes::Unchecked,
            ready: None,
            attempt: 0,
            preparing: None,
            waits_for_disks: false,
            disk_seen: false,
            power_off: PowerOff::None,
            power_deadline: None,
            press_again: None,
            residue: Vec::new(),
            hold_until: None,
            step_failures: 0,
            trouble: None,
            unqualified: 0,
            declined: None,
            unsaid_since: None,
            settles_at: None,
            report_failures: 0,
            report_after: None,
        }
    }

    /// A task for a server that was found on the node.
    #[must_use]
    pub fn adopted(
        node: Arc<Node>,
        uid: Uid,
        sender: UnboundedSender<Event>,
        queue: UnboundedReceiver<Event>,
        remains: Remains,
    ) -> Self {
        let mut task = Self::new(node, uid, sender, queue);
        task.residue = remains.residue;
        match remains.process {
            Some((incarnation, process)) => {
                task.guest = Guest::Launching;
                let line = command_line(process.pid());
                task.node.ledger.open(&task.uid, parse_disks(&line));
                if let Some(record) = task.record.as_ref() {
                    task.node.ledger.count(&task.uid, record.memory_bytes);
                }
                task.name = task.name.or_else(|| parse_name(&line));
                let (node, uid) = (task.node.clone(), task.uid.clone());
                task.handle =
                    Some(Handle::follow(node, uid, incarnation, process, task.sender.clone()));
            }
            None => task.note_end_while_away(),
        }
        task
    }

    /// The process ended while no daemon looked.
    fn note_end_while_away(&mut self) {
        let boot = self.node.boot.clone();
        let Some(record) = self.record.as_mut().filter(|record| record.ended.is_none()) else {
            return;
        };
        record.ended = Some(if record.powering_off {
            Ended::new(Ending::PoweredOff, "PoweredOff", "powered off")
        } else if record.boot_id == boot {
            let message = "QEMU ended while no node-daemon ran on the node";
            Ended::new(Ending::Failed, "QemuExited", message)
        } else {
            Ended::new(Ending::Failed, "NodeRestarted", "the node was started anew")
        });
        self.keep_record();
    }
}

/// What a QEMU was started with: it stays true when records are lost.
fn command_line(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).into_owned()
}

/// The volumes in a command line, by the UID that their paths end with.
fn parse_disks(command_line: &str) -> Vec<Uid> {
    let after = command_line.split("/volumes/").skip(1);
    after.filter_map(|text| Uid::try_from(text.get(..36)?.to_owned()).ok()).collect()
}

fn parse_name(command_line: &str) -> Option<(String, String)> {
    let mut arguments = command_line.split('\0').skip_while(|argument| *argument != "-name");
    let value = arguments.nth(1)?.strip_prefix("guest=")?;
    let (namespace, name) = value.split(',').next()?.split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_volumes_are_known_by_the_command_line() {
        let uid = "0a000000-0000-4000-8000-00000000000f";
        let line =
            format!("{{\"filename\":\"/var/lib/suigen/volumes/{uid}\",\"x\":1}}\0/volumes/no\0");
        assert_eq!(parse_disks(&line), [Uid::try_from(uid.to_owned()).unwrap()]);
    }

    #[test]
    fn a_guest_without_a_record_is_known_by_its_command_line() {
        let line = "/usr/bin/qemu\0-S\0-name\0guest=acme/web-1,debug-threads=on\0-uuid\0x\0";
        assert_eq!(parse_name(line), Some(("acme".into(), "web-1".into())));
        assert_eq!(parse_name("/usr/bin/qemu\0-S\0"), None);
    }
}
