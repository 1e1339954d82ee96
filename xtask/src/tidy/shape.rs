//! The shape of a Rust file: its length, its first line, its name, its imports.
//!
//! Called by `tidy`. The length of functions is a lint of clippy (`clippy.toml`).

use super::{at, scan};
use crate::tidy::source::SourceFile;

/// A file should end here ...
const LINES_ADVISED: usize = 500;
/// ... and must end here.
const LINES_MAX: usize = 800;

/// Returns advice on a file that grows too long, but not yet so long that it fails.
pub(crate) fn length_advice(file: &SourceFile) -> Option<String> {
    let n_lines = file.text.lines().count();
    let is_long = file.is_rust() && (LINES_ADVISED + 1..=LINES_MAX).contains(&n_lines);
    is_long.then(|| format!("{} has {n_lines} lines; split it by {LINES_ADVISED}", file.path))
}

/// Returns what is wrong with the shape of a Rust file.
pub(crate) fn check(file: &SourceFile) -> Vec<String> {
    let mut problems = Vec::new();
    let n_lines = file.text.lines().count();
    if n_lines > LINES_MAX {
        problems.push(at(&file.path, LINES_MAX, format!("{n_lines} lines, at most {LINES_MAX}: split it by subject")));
    }
    if !file.text.starts_with("//!") {
        problems.push(at(
            &file.path,
            0,
            "begins without `//!`: say what lives here, who calls it, what it must never do",
        ));
    }
    if file.path.rsplit('/').next() == Some("mod.rs") {
        let parent = file.path.trim_end_matches("/mod.rs");
        problems.push(at(&file.path, 0, format!("is called mod.rs: name it {parent}.rs")));
    }
    problems.extend(glob_imports(file));
    problems
}

/// Returns the `use foo::*` of a file. Tests may import all of the module that they test, and preludes.
fn glob_imports(file: &SourceFile) -> Vec<String> {
    let first_test_line = file.code.lines().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(usize::MAX);
    let mut problems = Vec::new();
    let mut import = String::new();
    for (line_idx, line) in file.code.lines().enumerate() {
        if import.is_empty() && !scan::words(line).any(|word| word.text == "use" && is_statement_start(word.before)) {
            continue;
        }
        import.push_str(line.trim());
        if !line.contains(';') {
            continue;
        }
        let in_test = file.is_test() || line_idx > first_test_line;
        let is_excused = in_test && (import.contains("super::*") || import.contains("prelude::*"));
        if import.contains('*') && !is_excused {
            problems.push(at(&file.path, line_idx, "imports everything (`*`): name what is used"));
        }
        import.clear();
    }
    problems
}

/// Returns whether a `use` after `before` begins an import, rather than being a part of `impl use<..>`.
fn is_statement_start(before: &str) -> bool {
    let before = before.trim_start();
    before.is_empty() || before.starts_with("pub") || before.ends_with(['{', '}', ';', ']'])
}

#[cfg(test)]
mod tests;
