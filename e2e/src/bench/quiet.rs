//! What the API server is asked to store: in a burst, and when nothing happens.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::audit::{AuditLog, Write};

/// No write of ours for this long: the system has come to rest.
const REST: Duration = Duration::from_secs(8);
/// Hang guard for that.
const LIMIT: Duration = Duration::from_secs(180);

/// Waits until operator and daemons have written all that they had to, and
/// returns every write since the mark.
pub fn settle(audit: &AuditLog) -> Result<Vec<Write>> {
    let started = Instant::now();
    let mut last = (0, Instant::now());
    loop {
        let writes = audit.writes()?;
        let ours = writes.iter().filter(|write| write.kind.is_budgeted()).count();
        if ours != last.0 {
            last = (ours, Instant::now());
        }
        if last.1.elapsed() >= REST {
            return Ok(writes);
        }
        if started.elapsed() > LIMIT {
            bail!("the system does not come to rest: {ours} writes, the last a moment ago");
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// Lets time pass and returns every write of it.
pub fn idle(audit: &mut AuditLog, time: Duration) -> Result<Vec<Write>> {
    audit.mark()?;
    thread::sleep(time);
    audit.writes()
}
