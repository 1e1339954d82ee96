//! `cargo xtask test`: the test lanes, each of which can be run alone by its name.
//!
//! Called by people, by `ci` and by `.ci/run`. A lane fails when a test fails, and also when it ran none: a lane that silently
//! tests nothing is worse than none.

use crate::process::{self, Step};
use crate::setup;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// What `cargo xtask test` is asked to do.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Run this lane alone
    #[arg(long, value_name = "NAME")]
    lane: Option<String>,
    /// Print the lanes and end
    #[arg(long)]
    list: bool,
}

struct Lane {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

const LANES: &[Lane] = &[
    Lane { name: "nextest", about: "all unit and integration tests", run: run_nextest },
    Lane { name: "doc", about: "the examples in the documentation", run: run_doc },
    Lane {
        name: "loom",
        about: "models of the protocols between threads and processes, all interleavings",
        run: run_loom,
    },
    Lane { name: "shuttle", about: "larger models, random interleavings", run: run_shuttle },
    Lane { name: "tsan", about: "threads on real memory under ThreadSanitizer", run: run_tsan },
];

/// Passes every lane, or the one that is named; a failing lane does not stop the next.
///
/// # Errors
/// A lane failed, has no tests, or does not exist.
pub(crate) fn test(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.list {
        for lane in LANES {
            println!("{:<8} {}", lane.name, lane.about);
        }
        return Ok(());
    }
    let lanes = chosen(options.lane.as_deref())?;
    setup::system_packages(setup::FOR_TESTS)?;
    setup::nextest(workspace)?;
    let steps: Vec<Step> = lanes
        .iter()
        .map(|lane| {
            Step::run(lane.name, || {
                (lane.run)(workspace).with_context(|| format!("run it alone: cargo xtask test --lane {}", lane.name))
            })
        })
        .collect();
    process::conclude(&steps)
}

fn chosen(name: Option<&str>) -> Result<&'static [Lane]> {
    let Some(name) = name else { return Ok(LANES) };
    let Some(i) = LANES.iter().position(|lane| lane.name == name) else {
        let names: Vec<&str> = LANES.iter().map(|lane| lane.name).collect();
        bail!("no lane is called `{name}`; there are: {}", names.join(", "));
    };
    Ok(&LANES[i..=i])
}

/// Nextest itself fails where no test is found. It builds no binary of another package than a test's own, so those that tests start are built
/// first: they would run what somebody built before. With the tests and as they are, so that dependencies are compiled once.
fn run_nextest(workspace: &Workspace) -> Result<()> {
    process::run(process::cargo(&workspace.root).args([
        "build",
        "--profile",
        "test",
        "--workspace",
        "--bins",
        "--tests",
    ]))?;
    process::run(process::cargo(&workspace.root).args(["nextest", "run", "--workspace"]))
}

/// Not counted: documentation may have no examples yet.
fn run_doc(workspace: &Workspace) -> Result<()> {
    process::run(process::cargo(&workspace.root).args(["test", "--quiet", "--doc", "--workspace"]))
}

fn run_loom(workspace: &Workspace) -> Result<()> {
    let mut command = model_tests(workspace, "loom", "--cfg loom");
    command.args(["--package", "backsight-client"]);
    command.env("LOOM_MAX_PREEMPTIONS", "2").env("LOOM_MAX_BRANCHES", "10000");
    run_counted(command.args(["--release", "--test", "loom"]))
}

fn run_shuttle(workspace: &Workspace) -> Result<()> {
    let mut command = model_tests(workspace, "shuttle", "--cfg shuttle");
    run_counted(command.args(["--release", "--test", "shuttle"]))
}

/// Runs the thread tests under ThreadSanitizer, on the stable compiler.
///
/// The flags are unstable, hence `RUSTC_BOOTSTRAP`; the standard library is the ordinary one, which the second flag permits. What that
/// library does out of the sanitizer's sight is listed in `tsan.supp`.
fn run_tsan(workspace: &Workspace) -> Result<()> {
    let flags = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";
    let suppressions = workspace.root.join("xtask/tsan.supp");
    let mut command = model_tests(workspace, "tsan", flags);
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("TSAN_OPTIONS", format!("suppressions='{}'", suppressions.display()));
    // With `--target`, build scripts and macros are built without the sanitizer.
    run_counted(command.args(["--target", "x86_64-unknown-linux-gnu", "--test", "threads"]))
}

/// Returns `cargo test` of ringbuf under `rustflags`, in a target folder of its own so that no other build starts anew.
fn model_tests(workspace: &Workspace, lane: &str, rustflags: &str) -> Command {
    let mut command = process::cargo(&workspace.root);
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", rustflags);
    command.args(["test", "--package", "backsight-ringbuf", "--target-dir"]).arg(workspace.target.join(lane));
    command
}

fn run_counted(command: &mut Command) -> Result<()> {
    let mut n_passed = 0;
    process::run_watched(command, |line| n_passed += passed_in(line).unwrap_or(0))?;
    if n_passed == 0 {
        bail!("the lane ran no test");
    }
    Ok(())
}

/// Returns how many tests passed, if `line` is the summary of a test binary.
fn passed_in(line: &str) -> Option<u64> {
    let counts = line.strip_prefix("test result: ")?;
    let before = counts.split(" passed").next()?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
