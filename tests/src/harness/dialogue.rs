//! A child process that is told lines and answers each with a line of JSON.
//!
//! Called by benches whose load runs in a process of its own, in whatever language.

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running child; the end of its input ends it, and it is waited for when this drops.
#[derive(Debug)]
pub struct Dialogue {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Dialogue {
    /// Starts `command`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let (commands, answers) = (child.stdin.take(), child.stdout.take().context("a child has no output")?);
        Ok(Self { child, commands, answers: BufReader::new(answers) })
    }

    /// Says `line` and returns the answer.
    ///
    /// # Errors
    /// The child is gone, or answers something else.
    pub fn ask<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        let commands = self.commands.as_mut().context("the child was stopped")?;
        writeln!(commands, "{line}").with_context(|| format!("say `{line}` to the child"))?;
        self.answer()
    }

    /// Returns what the child says next.
    ///
    /// # Errors
    /// As [`Dialogue::ask`].
    pub fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("read what the child says")?;
        serde_json::from_str(&line).with_context(|| format!("the child said {line:?}"))
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        drop(self.commands.take()); // the end of its input ends the child
        let _ = self.child.wait(); // a child that cannot be waited for is gone
    }
}
