//! `cargo xtask scale`: simulates Backsight from 10 to 10,000 hosts, and holds `docs/scale.md` to what comes of it.
//!
//! Called by people. The simulation is a binary of `backsight-tests`; the same costs give the same document on every machine.

use crate::process;
use crate::workspace::Workspace;
use anyhow::Result;
use std::process::Command;

/// What `cargo xtask scale` is asked to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the document, with the costs that `cargo xtask bench scale-costs` has left in target/bench
    #[arg(long)]
    write: bool,
    /// Simulate little, and print it: the document stays unchecked
    #[arg(long, conflicts_with = "write")]
    quick: bool,
}

/// Simulates.
///
/// # Errors
/// The document is not what its costs come to, or something cannot be read or built.
pub(crate) fn scale(workspace: &Workspace, options: &Options) -> Result<()> {
    process::build(workspace, &["bks-scale"])?;
    let mut command = Command::new(workspace.target.join("release/bks-scale"));
    command.arg("--root").arg(&workspace.root);
    if options.write {
        command.arg("--write").arg(workspace.target.join("bench/scale-costs.json"));
    }
    if options.quick {
        command.arg("--quick");
    }
    process::run(&mut command)
}
