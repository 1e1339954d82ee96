//! Child processes: started in the open (the command is printed first) and never ignored when they fail.
//!
//! Called by every task. It never starts a shell.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Lines of a program's standard error that are shown once it has failed.
const LAST_LINES: usize = 100;

/// Returns the cargo that runs this task, to be started in `directory`.
pub(crate) fn cargo(directory: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(directory);
    forget_own_package(&mut command);
    command
}

/// Leaves out what cargo has told this program of its own package: build scripts that read such variables (that of `ring` does) would run
/// again, and all that depends on them be built again, whenever another program calls cargo.
fn forget_own_package(command: &mut Command) {
    let is_own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_own)) {
        command.env_remove(name);
    }
}

/// Builds binaries of the workspace for release. As a part of the whole workspace: dependencies have the features then that they have in every
/// other build, and are compiled once.
///
/// # Errors
/// As [`run`].
pub(crate) fn build(workspace: &Workspace, binaries: &[&str]) -> Result<()> {
    let mut command = cargo(&workspace.root);
    command.args(["build", "--release", "--workspace"]);
    run(command.args(binaries.iter().flat_map(|name| ["--bin", name])))
}

/// Prints `command`, runs it, and waits.
///
/// # Errors
/// It does not start, or ends with anything but success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text_of(command);
    println!("$ {text}");
    let status = command.status().with_context(|| format!("start `{text}`"))?;
    if !status.success() {
        bail!("`{text}` ended with {status}");
    }
    Ok(())
}

/// Prints `command`, runs it with its standard output passed on, and gives each line of that to `see`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_watched(command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
    let text = text_of(command);
    println!("$ {text}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start `{text}`"))?;
    let stdout = child.stdout.take().expect("stdout is piped two lines above");
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.with_context(|| format!("read the output of `{text}`"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        see(&line);
    }
    let status = child.wait().with_context(|| format!("wait for `{text}`"))?;
    if !status.success() {
        bail!("`{text}` ended with {status}");
    }
    Ok(())
}

/// Prints `command` and runs it. Of its standard error only the lines that `tells` picks are passed on, and the last ones where it fails.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_quietly(command: &mut Command, tells: impl Fn(&str) -> bool) -> Result<()> {
    let text = text_of(command);
    println!("$ {text}");
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| format!("start `{text}`"))?;
    let stderr = child.stderr.take().expect("stderr is piped two lines above");
    let mut last = VecDeque::new();
    for line in BufReader::new(stderr).split(b'\n') {
        let line = line.with_context(|| format!("read what `{text}` says"))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        if tells(&line) {
            println!("{line}");
        }
        last.push_back(line);
        last.drain(..last.len().saturating_sub(LAST_LINES));
    }
    let status = child.wait().with_context(|| format!("wait for `{text}`"))?;
    if !status.success() {
        last.iter().for_each(|line| println!("{line}"));
        bail!("`{text}` ended with {status}");
    }
    Ok(())
}

/// Runs `command` in silence and returns its standard output.
///
/// # Errors
/// As [`run`]; the message carries what it wrote to standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = text_of(command);
    let output = command.output().with_context(|| format!("start `{text}`"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("`{text}` ended with {}\n{}", output.status, why.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read the output of `{text}`"))
}

/// Returns `command` as one could type it, the environment that it sets included.
fn text_of(command: &Command) -> String {
    let mut text = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(text, "{}={} ", name.to_string_lossy(), quoted(&value.to_string_lossy()));
        }
    }
    let program = Path::new(command.get_program());
    text += &program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    for argument in command.get_args() {
        text.push(' ');
        text += &quoted(&argument.to_string_lossy());
    }
    text
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%^".contains(c);
    match word {
        _ if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        _ if word.contains('\'') => format!("{word:?}"),
        _ => format!("'{word}'"),
    }
}

/// One step of a longer task: its name, how long it took, how it ended.
pub(crate) struct Step {
    name: String,
    took: Duration,
    outcome: Result<()>,
}

impl Step {
    /// Prints a heading, runs `work`, prints what it took, and keeps how it ended.
    pub(crate) fn run(name: impl Into<String>, work: impl FnOnce() -> Result<()>) -> Self {
        let name = name.into();
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        let took = start.elapsed();
        match &outcome {
            Ok(()) => println!("== {name}: passed in {:.1} s", took.as_secs_f64()),
            Err(error) => println!("== {name}: FAILED after {:.1} s: {error:#}", took.as_secs_f64()),
        }
        Self { name, took, outcome }
    }
}

/// Prints `steps` as a table.
///
/// # Errors
/// Names every step that failed, and says why: what was printed at the time is far above.
pub(crate) fn conclude(steps: &[Step]) -> Result<()> {
    println!("\n{:<14} {:>9}", "step", "seconds");
    for step in steps {
        let outcome = if step.outcome.is_ok() { "passed" } else { "FAILED" };
        println!("{:<14} {:>9.1}  {outcome}", step.name, step.took.as_secs_f64());
    }
    let why = |step: &Step| Some(format!("\n  {}: {:#}", step.name, step.outcome.as_ref().err()?));
    let failed: Vec<String> = steps.iter().filter_map(why).collect();
    if !failed.is_empty() {
        bail!("{} of {} steps failed:{}", failed.len(), steps.len(), failed.concat());
    }
    Ok(())
}
