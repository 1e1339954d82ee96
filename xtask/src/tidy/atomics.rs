//! Atomics of lock-free code: named only through `backsight_core::sync`, which the models can replace.
//!
//! Called by `tidy`. An atomic taken straight from the standard library would be invisible to loom, and the proof with it.

use super::{at, scan};
use crate::tidy::source::SourceFile;

/// The folders whose atomics are modelled.
const MODELLED: &[&str] = &["ringbuf/src/", "client/src/", "client/capi/src/"];

/// Returns the atomics that go past `backsight_core::sync`, if `file` is modelled.
pub(crate) fn check(file: &SourceFile) -> Vec<String> {
    if !MODELLED.iter().any(|folder| file.path.starts_with(folder)) {
        return Vec::new();
    }
    let problem = |word: scan::Word<'_>| {
        at(&file.path, word.line_idx, format!("names `{}`: take atomics from `backsight_core::sync`", word.text))
    };
    scan::words(&file.code).filter(is_foreign).map(problem).collect()
}

/// Returns whether a word is part of a path into other atomics: `atomic` as any segment, a model checker as the first one.
fn is_foreign(word: &scan::Word<'_>) -> bool {
    let leads = word.after.starts_with("::");
    match word.text {
        "atomic" => leads || word.before.ends_with("::") || word.before.ends_with(['{', ',']),
        "loom" | "shuttle" => leads && !word.before.ends_with("::"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
