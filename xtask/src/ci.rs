//! `cargo xtask ci`: everything that a change must pass, in the order of what it costs.
//!
//! Called by `.ci/run`. Every step is run, also after one failed, so that one run shows all that is wrong.

use crate::process::{self, Step};
use crate::workspace::Workspace;
use crate::{bench, demo, fuzz, lanes, tidy};
use anyhow::Result;

/// What `cargo xtask ci` is asked to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave the tests to a separate `cargo xtask test`
    #[arg(long)]
    no_test: bool,
}

/// How long each fuzz target runs: long enough to replay its corpus and to try the neighbourhood.
const FUZZ_SMOKE_SECONDS: u32 = 30;

/// How long the demo's load lasts: long enough for a crash half-way.
const DEMO_SMOKE_SECONDS: u64 = 8;

/// Runs all steps and prints what each took.
///
/// # Errors
/// Names the steps that failed.
pub(crate) fn check(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut steps = vec![
        Step::run("tidy", || tidy::tidy(workspace, &tidy::Options::default())),
        Step::run("fmt", || check_format(workspace)),
        Step::run("clippy", || clippy(workspace)),
    ];
    if !options.no_test {
        steps.push(Step::run("test", || lanes::test(workspace, &lanes::Options::default())));
    }
    steps.push(Step::run("benches", || bench::smoke(workspace)));
    steps.push(Step::run("demo", || demo::demo(workspace, &demo::Options::smoke(DEMO_SMOKE_SECONDS))));
    steps.push(Step::run("fuzz", || fuzz::fuzz(workspace, &fuzz::Options::all(FUZZ_SMOKE_SECONDS))));
    process::conclude(&steps)
}

fn check_format(workspace: &Workspace) -> Result<()> {
    process::run(process::cargo(&workspace.root).args(["fmt", "--all", "--check"]))?;
    process::run(process::cargo(&fuzz::folder(workspace)).args(["fmt", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(process::cargo(&workspace.root).args(arguments))
}
