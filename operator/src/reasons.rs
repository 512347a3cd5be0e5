//! Words that come from node-daemons and go into conditions.
//!
//! A condition's reason is a word that this program knows, so that programs
//! can rely on it; a word of a later release becomes the fallback.

/// Reasons of a failure that does not go away by itself.
pub const PERSON_MUST_ACT: &[&str] = &[
    "VolumeMissing",
    "ImageChecksumMismatch",
    "ImageLargerThanDisk",
    "ImageRefersToOtherFiles",
    "ImageInvalid",
];

/// Every other word that a daemon says.
const OTHERS: &[&str] = &[
    "ApiServerUnreachable",
    "DiskNotAttached",
    "GuestPoweredOff",
    "GuestPanicked",
    "ImageUnreachable",
    "LogReplaced",
    "NoAcceleration",
    "NodeDiskFull",
    "NotEnoughMemory",
    "QemuExited",
    "QemuFailed",
    "QmpUnresponsive",
    "StaleEpoch",
    "VolumeFailed",
    "WaitsForVolume",
    "DiskFull",
    "IoError",
];

/// The word itself if it is known, else the fallback.
pub fn known(word: Option<&str>, fallback: &'static str) -> &'static str {
    let all = PERSON_MUST_ACT.iter().chain(OTHERS);
    word.and_then(|word| all.copied().find(|known| *known == word)).unwrap_or(fallback)
}
