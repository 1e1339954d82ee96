//! Where unsafe code lives: in the files that ARCHITECTURE.md lists, and nowhere else.
//!
//! Called by `tidy`. The list is exact in both directions, so that a reader who audits those files has audited everything.

use super::{at, scan};
use crate::tidy::source::SourceFile;
use crate::workspace::Workspace;

const DOCUMENT: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Unsafe";
const FORBID: &str = "#![forbid(unsafe_code)]";

/// The file that a crate begins with.
pub(crate) struct CrateRoot {
    path: String,
    /// The folder of the package's sources, with a `/` at its end.
    sources: String,
}

/// Returns the roots of all libraries and binaries.
pub(crate) fn crate_roots(workspace: &Workspace) -> Vec<CrateRoot> {
    let ships = ["lib", "bin", "proc-macro", "cdylib", "staticlib", "rlib", "dylib"];
    let roots = workspace.packages.iter().flat_map(|package| {
        let sources = format!("{}/src/", workspace.relative(package.folder()));
        let targets = package.targets.iter().filter(move |target| ships.iter().any(|kind| target.is(kind)));
        targets.map(move |target| CrateRoot { path: workspace.relative(&target.src_path), sources: sources.clone() })
    });
    roots.collect()
}

/// Returns unsafe code outside of the list, entries that hold none, and crates that could forbid it but do not.
pub(crate) fn check(files: &[SourceFile], roots: &[CrateRoot]) -> Vec<String> {
    let Some(document) = files.iter().find(|file| file.path == DOCUMENT) else {
        return vec![format!("{DOCUMENT} is missing: list the files with unsafe code under `{HEADING}`")];
    };
    let Some(listed) = listed(&document.text) else {
        return vec![format!("{DOCUMENT} has no heading `{HEADING}`: list the files with unsafe code there")];
    };
    let is_listed = |path: &str| listed.iter().any(|(_, entry)| entry == path);
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !is_listed(&file.path)) {
        if let Some(line_idx) = first_unsafe(file) {
            problems.push(at(&file.path, line_idx, format!("unsafe code in a file that {DOCUMENT} does not list")));
        }
    }
    for (line_idx, entry) in &listed {
        match files.iter().find(|file| file.path == *entry) {
            None => problems.push(at(DOCUMENT, *line_idx, format!("lists `{entry}`, which does not exist"))),
            Some(file) if first_unsafe(file).is_none() => {
                problems.push(at(DOCUMENT, *line_idx, format!("lists `{entry}`, which has no unsafe code")));
            }
            Some(_) => {}
        }
    }
    for root in roots {
        let has_listed = listed.iter().any(|(_, entry)| entry.starts_with(&root.sources) || *entry == root.path);
        let forbids = files.iter().any(|file| file.path == root.path && file.text.lines().any(|line| line == FORBID));
        if !has_listed && !forbids {
            problems.push(at(&root.path, 0, format!("has no unsafe code, so say `{FORBID}`")));
        }
    }
    problems
}

/// Returns the paths under the heading and their lines, or `None` without such a heading.
fn listed(document: &str) -> Option<Vec<(usize, String)>> {
    let start = document.lines().position(|line| line.trim_end() == HEADING)?;
    let below = document.lines().enumerate().skip(start + 1);
    let section = below.take_while(|(_, line)| !line.starts_with("# ") && !line.starts_with("## "));
    let path = |line: &str| {
        let item = line.trim_start().strip_prefix("- `").or_else(|| line.trim_start().strip_prefix("* `"))?;
        Some(item.split_once('`')?.0.to_owned())
    };
    Some(section.filter_map(|(line_idx, line)| Some((line_idx, path(line)?))).collect())
}

/// Returns the first line of `file` that holds unsafe code, attributes such as `#[unsafe(no_mangle)]` included.
fn first_unsafe(file: &SourceFile) -> Option<usize> {
    scan::words(&file.code).find(|word| word.text == "unsafe").map(|word| word.line_idx)
}

#[cfg(test)]
mod tests;
