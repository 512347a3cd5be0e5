//! The demo's account of itself: what it did, and how long each step took.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps so far.
#[derive(Debug)]
pub struct Steps {
    started: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Starts the account.
    pub fn begin() -> Self {
        Self { started: Instant::now(), done: Vec::new() }
    }

    /// Does one step under a heading; its error names it.
    pub fn run<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n{}. {what}", self.done.len() + 1);
        let started = Instant::now();
        let result = work().with_context(|| format!("step {}: {what}", self.done.len() + 1))?;
        self.done.push((what.to_owned(), started.elapsed()));
        Ok(result)
    }

    /// The table of all steps.
    pub fn table(&self) -> String {
        let mut lines = vec![String::from(
            "  step                                                                  time",
        )];
        for (number, (what, took)) in self.done.iter().enumerate() {
            lines.push(format!("{:>3}. {what:<64} {:>7.1} s", number + 1, took.as_secs_f64()));
        }
        lines.push(format!(
            "{:>4} {:<64} {:>7.1} s",
            "",
            "in all",
            self.started.elapsed().as_secs_f64()
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_says_which_it_was_and_is_not_in_the_table() {
        let mut steps = Steps::begin();
        steps.run("boil water", || Ok(())).unwrap();
        let error = steps.run("make tea", || -> Result<()> { anyhow::bail!("no leaves") });
        assert_eq!(format!("{:#}", error.unwrap_err()), "step 2: make tea: no leaves");
        assert!(steps.table().contains("boil water"));
        assert!(!steps.table().contains("make tea"));
    }
}
