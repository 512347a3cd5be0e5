//! The commands that the daemon uses. A test compares each with the schema of
//! the bundle's QEMU.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A command of QMP with its arguments, which are its fields.
pub trait Command: Serialize {
    /// QEMU's name for it.
    const NAME: &'static str;
    /// What it returns.
    type Reply: DeserializeOwned;
}

/// The empty object that most commands return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Done {}

macro_rules! commands {
    ($($(#[$doc:meta])+ $name:ident = $wire:literal -> $reply:ty;)+) => {
        $(
            $(#[$doc])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
            pub struct $name {}

            impl Command for $name {
                const NAME: &'static str = $wire;
                type Reply = $reply;
            }
        )+

        /// The names of all commands that the daemon uses.
        pub const NAMES: &[&str] = &[$($wire),+];
    };
}

commands! {
    /// Ends the negotiation; before it QEMU obeys nothing else.
    QmpCapabilities = "qmp_capabilities" -> Done;
    /// Asks whether the guest runs.
    QueryStatus = "query-status" -> Status;
    /// Asks for the machine's UUID, which is that of its server.
    QueryUuid = "query-uuid" -> GuestUuid;
    /// Asks for QEMU's version.
    QueryVersion = "query-version" -> Version;
    /// Asks for the disks and whether they failed.
    QueryBlock = "query-block" -> Vec<BlockDevice>;
    /// Asks for the schema of all commands and events.
    QueryQmpSchema = "query-qmp-schema" -> serde_json::Value;
    /// Lets the guest run.
    Cont = "cont" -> Done;
    /// Pauses the guest.
    Stop = "stop" -> Done;
    /// Presses the guest's power button. The guest may ignore it.
    SystemPowerdown = "system_powerdown" -> Done;
    /// Presses the guest's reset button.
    SystemReset = "system_reset" -> Done;
    /// Ends QEMU, without a word to the guest.
    Quit = "quit" -> Done;
}

/// Whether the guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether its virtual CPUs run.
    pub running: bool,
    /// The state they are in.
    pub status: RunState,
}

/// QEMU's `RunState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Started with `-S`, waits for the first `cont`.
    Prelaunch,
    /// Runs.
    Running,
    /// Paused by a command.
    Paused,
    /// The guest shut down, QEMU waits.
    Shutdown,
    /// Paused because storage failed.
    IoError,
    /// Paused because QEMU or KVM failed.
    InternalError,
    /// The guest's kernel panicked.
    GuestPanicked,
    /// The guest sleeps.
    Suspended,
    /// Paused by the watchdog.
    Watchdog,
    /// Waits for a migration's data.
    Inmigrate,
    /// Paused after it was migrated away.
    Postmigrate,
    /// Paused for the last step of a migration.
    FinishMigrate,
    /// State is being saved.
    SaveVm,
    /// State is being restored.
    RestoreVm,
    /// A debugger has it.
    Debug,
    /// A replica keeps it.
    Colo,
    /// A state that this daemon does not know.
    #[serde(other)]
    Unknown,
}

impl RunState {
    /// QEMU's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prelaunch => "prelaunch",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Shutdown => "shutdown",
            Self::IoError => "io-error",
            Self::InternalError => "internal-error",
            Self::GuestPanicked => "guest-panicked",
            Self::Suspended => "suspended",
            Self::Watchdog => "watchdog",
            Self::Inmigrate => "inmigrate",
            Self::Postmigrate => "postmigrate",
            Self::FinishMigrate => "finish-migrate",
            Self::SaveVm => "save-vm",
            Self::RestoreVm => "restore-vm",
            Self::Debug => "debug",
            Self::Colo => "colo",
            Self::Unknown => "unknown",
        }
    }
}

/// The machine's UUID.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct GuestUuid {
    /// In lower case, with hyphens.
    pub uuid: String,
}

/// QEMU's version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// The three numbers.
    pub qemu: VersionNumbers,
    /// What the packager added.
    pub package: String,
}

/// The three numbers of QEMU's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct VersionNumbers {
    /// The first.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third.
    pub micro: u32,
}

/// A disk as QEMU sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockDevice {
    /// The device's path in QEMU's object tree.
    #[serde(default)]
    pub qdev: String,
    /// What it reads from, if there is a medium.
    #[serde(default)]
    pub inserted: Option<Inserted>,
    /// Whether an I/O error paused the guest, and which.
    #[serde(default)]
    pub io_status: Option<String>,
}

/// A disk's medium.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inserted {
    /// The block node.
    #[serde(default)]
    pub node_name: String,
    /// Its file, in the jail.
    pub file: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_state_is_called_as_qemu_calls_it() {
        for word in ["prelaunch", "io-error", "save-vm", "finish-migrate", "guest-panicked"] {
            let state: RunState = serde_json::from_value(word.into()).unwrap();
            assert_eq!(state.as_str(), word);
        }
        let state: RunState = serde_json::from_str("\"some-day\"").unwrap();
        assert_eq!(state, RunState::Unknown);
    }
}
