//! The table of faults, against the sources and the document that shows it.
//!
//! Called by `tidy`: what the table names moves on with the sources, or this says where not. With `--bless` the document takes over what
//! the table says.

use super::at;
use crate::faults::table::{DOCUMENT, Table};
use crate::tidy::source::SourceFile;
use crate::workspace::Workspace;

/// Returns what no longer fits, after rewriting the document if `bless` asks for it.
pub(crate) fn check(workspace: &Workspace, files: &[SourceFile], bless: bool) -> Vec<String> {
    let table = match Table::read(workspace) {
        Ok(table) => table,
        Err(error) => return vec![format!("{error:#}")],
    };
    let mut problems = table.problems(workspace, files);
    let text = table.document(workspace, files);
    if bless && let Err(error) = std::fs::write(workspace.root.join(DOCUMENT), &text) {
        problems.push(format!("{DOCUMENT}: {error}"));
    }
    let document = std::fs::read_to_string(workspace.root.join(DOCUMENT)).unwrap_or_default(); // none differs
    if document != text {
        let n_same = document.lines().zip(text.lines()).take_while(|(is, should)| is == should).count();
        problems.push(at(
            DOCUMENT,
            n_same,
            "differs from the table of faults; if that is right: cargo xtask tidy --bless",
        ));
    }
    problems
}
