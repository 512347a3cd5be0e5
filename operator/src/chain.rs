//! Errors for people: the error and all its causes in one line.

use std::error::Error;
use std::fmt;

/// Shows an error with all its causes.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(next) = cause {
            let text = next.to_string();
            // Some libraries repeat the cause in their own text.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = next.source();
        }
        Ok(())
    }
}
