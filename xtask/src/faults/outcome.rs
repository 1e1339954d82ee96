//! What became of a test, as nextest tells it: a test that fails is told from one that does not build, and from one that is not there.
//!
//! Called by `faults`.

use super::table::Case;
use std::fmt;

/// How many of the last lines of an output that cannot be explained are shown.
const LINES_SHOWN: usize = 20;

/// What became of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Passed,
    /// By which of [`Case::fails`]'s words.
    Failed(String),
    /// With what the compiler says.
    NotBuilt(String),
    /// With what nextest says.
    Unclear(String),
}

impl Outcome {
    /// Reads the exit code of `cargo nextest run` and what it wrote to standard error.
    ///
    /// # Source
    /// The exit codes are those of nextest-metadata's `NextestExitCode`.
    pub(super) fn of(code: Option<i32>, said: &str) -> Self {
        match code {
            Some(0) => Self::Passed,
            Some(101) => Self::NotBuilt(said.to_owned()),
            Some(100) => {
                said.lines().find_map(|line| failed_in(line, said)).map_or_else(|| unclear(said), Self::Failed)
            }
            _ => unclear(said),
        }
    }

    /// Returns whether the test has failed as it must without the mechanism of `case`: how it failed, else what is wrong.
    pub(super) fn verdict(self, case: &Case) -> Result<String, String> {
        match self {
            Self::Failed(how) if how == case.fails => Ok(format!("failed by {how}")),
            Self::Failed(how) => Err(format!("failed by {how}, not by {}", case.fails)),
            Self::Passed => Err("the test passed without its mechanism".to_owned()),
            outcome => Err(format!("without its mechanism, the test {outcome}")),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(how) => write!(f, "failed by {how}"),
            Self::NotBuilt(said) => write!(f, "did not build:\n{}", last_lines(said)),
            Self::Unclear(said) => write!(f, "ended in another way:\n{}", last_lines(said)),
        }
    }
}

/// Returns how a test failed, where `line` of the output `said` tells: `assertion`, `timeout`, or a signal's name.
fn failed_in(line: &str, said: &str) -> Option<String> {
    let (status, rest) = line.trim_start().split_once(' ')?;
    if !rest.trim_start().starts_with('[') {
        return None;
    }
    match status {
        "FAIL" if said.contains("panicked at") => Some("assertion".to_owned()),
        "FAIL" => Some("exit".to_owned()),
        "TIMEOUT" => Some("timeout".to_owned()),
        signal if signal.starts_with("SIG") => Some(signal.to_owned()),
        _ => None,
    }
}

fn unclear(said: &str) -> Outcome {
    Outcome::Unclear(said.to_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests;
