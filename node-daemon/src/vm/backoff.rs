//! How long a QEMU that ended waits before it is started again, and a step that
//! failed before it is tried again. Pure.

use std::time::Duration;

/// The first wait.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
pub const LONGEST: Duration = Duration::from_secs(60);
/// A process that ran this long starts the count anew.
pub const STEADY: Duration = Duration::from_secs(60);

/// The wait after `failures` failures in a row.
#[must_use]
pub fn delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => FIRST.saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(LONGEST),
    }
}

/// The count after a process ended that had run for `ran`.
#[must_use]
pub fn count(before: u32, ran: Duration) -> u32 {
    if ran >= STEADY { 1 } else { before.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute() {
        let seconds: Vec<u64> = (0..9).map(|n| delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn a_steady_run_starts_the_count_anew() {
        assert_eq!(count(6, Duration::from_secs(59)), 7);
        assert_eq!(count(6, STEADY), 1);
    }
}
