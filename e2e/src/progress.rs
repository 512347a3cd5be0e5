//! What the user sees while work goes on: one line a step, with its time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A step shorter than this prints only its end.
const QUIET: Duration = Duration::from_secs(2);
/// A step that lasts says so again this often.
const REMINDER: Duration = Duration::from_secs(30);

/// Runs one step and prints what it was and how long it took; an error gets
/// the step's name as context.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let (done, waiting) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        scope.spawn(move || remind(what, started, &waiting));
        let result = work();
        drop(done);
        result
    });
    let mark = if result.is_ok() { "ok" } else { "FAILED" };
    println!("  {:>6.1} s  {what}: {mark}", started.elapsed().as_secs_f64());
    result.with_context(|| what.to_owned())
}

fn remind(what: &str, started: Instant, waiting: &mpsc::Receiver<()>) {
    let mut pause = QUIET;
    while let Err(RecvTimeoutError::Timeout) = waiting.recv_timeout(pause) {
        println!("  {:>6.1} s  {what} ...", started.elapsed().as_secs_f64());
        pause = REMINDER;
    }
}

/// Asks `ready` again and again until it returns a value or `limit` has passed.
///
/// An error from `ready` ends the wait at once; `what` names what was waited for.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if started.elapsed() > limit {
            anyhow::bail!("{what}: not there after {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_carries_its_name() {
        let error = step("make tea", || -> Result<()> { anyhow::bail!("no water") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "make tea: no water");
    }

    #[test]
    fn a_wait_ends_with_its_limit_and_says_what_was_missing() {
        let error = wait_for("tea", Duration::from_millis(150), || Ok(None::<()>)).unwrap_err();
        assert!(format!("{error}").starts_with("tea: not there"));
    }
}
