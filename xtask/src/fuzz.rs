//! `cargo xtask fuzz`: runs the fuzz targets of `tests/fuzz` with libFuzzer, on the stable toolchain.
//!
//! Called by people and by `ci`. cargo-fuzz needs a nightly compiler; stable takes the same coverage passes through `-Cpasses`, so
//! this task passes them itself. What a run finds stays under the target folder; nothing here writes into the repository.

use crate::process::{self, Step};
use crate::setup;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// What `cargo xtask fuzz` is asked to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// One target; all of them by default
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Run these inputs once instead, to see a crash again
    #[arg(last = true)]
    inputs: Vec<PathBuf>,
}

impl Options {
    /// Returns the wish to run every target for `seconds`.
    pub(crate) fn all(seconds: u32) -> Self {
        Self { target: None, seconds, inputs: Vec::new() }
    }
}

/// The platform is named so that build scripts and macros are built without coverage.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

const RUSTFLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "--cfg fuzzing",
];

/// An input that takes longer than this is reported as a hang.
const INPUT_SECONDS_MAX: u32 = 10;
/// A target that needs more memory than this is reported.
const MEMORY_MIB_MAX: u32 = 1024;
/// The longest input that is tried: twice the largest chunk of a region.
const INPUT_BYTES_MAX: u32 = 131_072;

/// Returns the folder of the fuzz targets.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("tests/fuzz")
}

/// Builds the targets and runs each for its time.
///
/// # Errors
/// A target does not exist or does not build, or an input was found that breaks it.
pub(crate) fn fuzz(workspace: &Workspace, options: &Options) -> Result<()> {
    let package = Workspace::load_at(&folder(workspace))?;
    let targets: Vec<&str> = package.packages.iter().flat_map(|package| package.bins()).collect();
    let chosen: Vec<&str> = match &options.target {
        None => targets,
        Some(name) if targets.contains(&name.as_str()) => vec![name.as_str()],
        Some(name) => bail!("no fuzz target is called `{name}`; there are: {}", targets.join(", ")),
    };
    if !options.inputs.is_empty() && options.target.is_none() {
        bail!("inputs belong to one target: name it");
    }
    setup::system_packages(setup::FOR_FUZZING)?;
    build(workspace)?;
    let steps: Vec<Step> =
        chosen.iter().map(|target| Step::run(format!("fuzz {target}"), || run(workspace, target, options))).collect();
    process::conclude(&steps)
}

fn target_folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("fuzz")
}

fn build(workspace: &Workspace) -> Result<()> {
    let mut command = process::cargo(&folder(workspace));
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", RUSTFLAGS.join(" "));
    command.args(["build", "--release", "--bins", "--target", PLATFORM, "--target-dir"]);
    process::run(command.arg(target_folder(workspace)))
}

fn run(workspace: &Workspace, target: &str, options: &Options) -> Result<()> {
    let built = target_folder(workspace).join(PLATFORM).join("release").join(target);
    let found = made(target_folder(workspace).join("found").join(target))?;
    let mut command = std::process::Command::new(built);
    // The trailing slash makes it a folder; without one libFuzzer takes it as the beginning of a name.
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command.arg(format!("-timeout={INPUT_SECONDS_MAX}")).arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    if options.inputs.is_empty() {
        command.arg(format!("-max_total_time={}", options.seconds));
        command.arg(format!("-max_len={INPUT_BYTES_MAX}")).arg("-print_final_stats=1").arg("-verbosity=0");
        // New inputs go to the first folder; the seeds of the repository are only read.
        command.arg(made(target_folder(workspace).join("corpus").join(target))?);
        command.args(seeds(workspace, target));
    } else {
        command.args(&options.inputs);
    }
    process::run_quietly(&mut command, |line| line.starts_with("stat::"))
        .with_context(|| format!("see it again: cargo xtask fuzz {target} -- {}/FILE", found.display()))
}

fn seeds(workspace: &Workspace, target: &str) -> Option<PathBuf> {
    Some(folder(workspace).join("corpus").join(target)).filter(|seeds| seeds.is_dir())
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all::<&Path>(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}
