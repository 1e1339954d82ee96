//! `cargo xtask tidy`: the rules of the repository that no compiler knows, each a pure function over text.
//!
//! Called by people, by `ci`, and by the test `workspace_is_tidy`, so that every test run checks them. A check returns the places
//! that break its rule and what to do there; it changes nothing, but for `--bless`, which rewrites the tables of the ABI document
//! and the document of faults.

mod abi;
mod atomics;
mod edges;
mod faults;
mod links;
mod residue;
mod scan;
mod shape;
pub(crate) mod source;
mod unsafety;

use crate::workspace::Workspace;
use anyhow::{Result, bail};
use source::SourceFile;

/// What `cargo xtask tidy` is asked to do.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Rewrite the tables of docs/spec/shm-abi.md from the code, and docs/faults.md from tests/faults.toml
    #[arg(long)]
    bless: bool,
}

/// Checks the whole repository.
///
/// # Errors
/// Something breaks a rule; each place is printed on a line of its own.
pub(crate) fn tidy(workspace: &Workspace, options: &Options) -> Result<()> {
    let files = source::files(&workspace.root)?;
    for advice in files.iter().filter_map(shape::length_advice) {
        println!("advice: {advice}");
    }
    let problems = problems(workspace, &files, options);
    if problems.is_empty() {
        println!("tidy: {} files and {} packages are fine", files.len(), workspace.packages.len());
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}");
    }
    bail!("tidy found {} problems", problems.len());
}

/// Returns everything that breaks a rule, in the order of the checks.
fn problems(workspace: &Workspace, files: &[SourceFile], options: &Options) -> Vec<String> {
    let mut problems = edges::check(&edges::packages(workspace));
    for file in files {
        if file.is_rust() {
            problems.extend(shape::check(file));
            problems.extend(atomics::check(file));
        }
        if file.path.ends_with(".md") {
            problems.extend(links::check(file, |path| workspace.root.join(path).exists()));
        }
        problems.extend(residue::check(file));
    }
    problems.extend(unsafety::check(files, &unsafety::crate_roots(workspace)));
    problems.extend(abi::check(workspace, options.bless));
    problems.extend(faults::check(workspace, files, options.bless));
    problems
}

/// Returns a problem as one line that editors can jump to.
fn at(path: &str, line_idx: usize, what: impl std::fmt::Display) -> String {
    format!("{path}:{}: {what}", line_idx + 1)
}

#[cfg(test)]
mod tests;
