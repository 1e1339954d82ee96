//! `cargo xtask dst`: many seeds of the simulation of `tests/dst`, built as what ships is, with its assertions on.
//!
//! Called by people, and every night by whoever has the time; the tests run the first two hundred seeds.

use crate::process;
use crate::workspace::Workspace;
use anyhow::Result;

/// What `cargo xtask dst` is asked to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// A trace of the first seed: print everything that happens to it
    #[arg(long)]
    watch: Option<String>,
}

/// Runs the seeds.
///
/// # Errors
/// One of them breaks what must hold, or it does not build.
pub(crate) fn dst(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    command.args(["run", "--profile", "dst", "--package", "backsight-dst", "--"]);
    command.arg("--seeds").arg(options.seeds.to_string()).arg("--from").arg(options.from.to_string());
    options.watch.iter().for_each(|trace| {
        command.arg("--watch").arg(trace);
    });
    process::run(&mut command)
}
