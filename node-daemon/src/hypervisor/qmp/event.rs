//! QEMU's events, as far as the daemon reacts to them. Pure.

use serde_json::Value;

/// Something that happened in QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The guest shut down, or QEMU was told to; with `-action shutdown=pause`
    /// QEMU stays, paused.
    Shutdown {
        /// Whether the guest did it.
        guest: bool,
        /// QEMU's word for the cause, such as `guest-shutdown`.
        reason: String,
    },
    /// The guest was asked to power off.
    PowerDown,
    /// The virtual CPUs were stopped.
    Stop,
    /// The virtual CPUs run again.
    Resume,
    /// The machine was reset.
    Reset {
        /// Whether the guest did it.
        guest: bool,
    },
    /// Storage failed.
    BlockIoError {
        /// The block node, where QEMU names one.
        node: String,
        /// `read` or `write`.
        operation: String,
        /// What the kernel or the image format said.
        reason: String,
        /// Whether the guest was paused for it.
        stopped: bool,
        /// Whether the storage was full.
        no_space: bool,
    },
    /// The guest's kernel panicked.
    GuestPanicked,
    /// The guest sleeps.
    Suspend,
    /// The guest woke up.
    Wakeup,
    /// Something else.
    Other {
        /// QEMU's name for it.
        name: String,
    },
}

impl Event {
    pub(super) fn from_raw(name: String, data: &Value) -> Self {
        let flag = |key: &str| data[key].as_bool().unwrap_or_default();
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        match name.as_str() {
            "SHUTDOWN" => Self::Shutdown { guest: flag("guest"), reason: text("reason") },
            "POWERDOWN" => Self::PowerDown,
            "STOP" => Self::Stop,
            "RESUME" => Self::Resume,
            "RESET" => Self::Reset { guest: flag("guest") },
            "BLOCK_IO_ERROR" => Self::BlockIoError {
                node: text("node-name"),
                operation: text("operation"),
                reason: text("reason"),
                stopped: data["action"] == "stop",
                no_space: flag("nospace"),
            },
            "GUEST_PANICKED" => Self::GuestPanicked,
            "SUSPEND" => Self::Suspend,
            "WAKEUP" => Self::Wakeup,
            _ => Self::Other { name },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_guests_poweroff_is_told_from_the_daemons() {
        let data = json!({ "guest": true, "reason": "guest-shutdown" });
        let event = Event::from_raw("SHUTDOWN".into(), &data);
        assert_eq!(event, Event::Shutdown { guest: true, reason: "guest-shutdown".into() });
        let event = Event::from_raw("SHUTDOWN".into(), &json!({}));
        assert_eq!(event, Event::Shutdown { guest: false, reason: String::new() });
    }

    #[test]
    fn an_io_error_says_whether_the_guest_waits() {
        let data = json!({ "device": "", "node-name": "disk0", "operation": "write",
            "action": "stop", "nospace": true, "reason": "No space left on device" });
        let event = Event::from_raw("BLOCK_IO_ERROR".into(), &data);
        let Event::BlockIoError { node, stopped, no_space, .. } = event else {
            unreachable!("an I/O error")
        };
        assert_eq!((node.as_str(), stopped, no_space), ("disk0", true, true));
    }
}
