//! Runs other programs so that a failure explains itself.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How much of a log a failure shows.
const TAIL_LINES: usize = 20;

/// Runs a long-winded command with its output appended to `log`; a failure
/// shows the end of it and where the rest is.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = append_to(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| format!("run {}", describe(command)))?;
    if !status.success() {
        bail!("{} ended with {status}\n{}", describe(command), tail(log));
    }
    Ok(())
}

/// Runs a command and returns what it printed; a failure shows its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("run {}", describe(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", describe(command), output.status, stderr.trim());
    }
    Ok(stdout)
}

/// Opens a log for appending, with its directory made where it is missing.
pub fn append_to(log: &Path) -> Result<File> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))
}

/// The last lines of a log, under a line that names it.
pub fn tail(log: &Path) -> String {
    let text = last_bytes(log, 64 * 1024).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    format!("--- end of {}\n{kept}", log.display())
}

fn last_bytes(log: &Path, count: u64) -> Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(count)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    let line = words.join(" ");
    match line.char_indices().nth(200) {
        Some((cut, _)) => format!("`{} ...`", &line[..cut]),
        None => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_shows_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/x.log");
        let error = run_logged(Command::new("sh").args(["-c", "seq 1 50; exit 3"]), &log)
            .unwrap_err()
            .to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with("\n49\n50"), "{error}");
        assert!(!error.contains("\n30\n"), "{error}");
    }

    #[test]
    fn output_carries_standard_error_of_a_failure() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 1"])).unwrap_err();
        assert!(error.to_string().ends_with("why"));
    }
}
