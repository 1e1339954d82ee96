//! What must not stay behind in a commit: paths of one machine, merge markers, sources other than crates.io.
//!
//! Called by `tidy`, on every text file.

use super::at;
use crate::tidy::source::SourceFile;

/// Folders of the machines this was written on. Written in two pieces, so that this file does not find itself.
const MACHINE_FOLDERS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/ro", "ot/"), concat!("/tmp/bash", "_jobs")];

const MERGE_MARKERS: &[&str] = &["<<<<<<< ", ">>>>>>> ", "||||||| "];

/// The one source that a lock file may name.
const CRATES_IO: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Returns what should have been removed before the commit.
pub(crate) fn check(file: &SourceFile) -> Vec<String> {
    let is_lock = file.path.ends_with("Cargo.lock");
    let problem = |line: &str| {
        if let Some(folder) = MACHINE_FOLDERS.iter().find(|folder| names_folder(line, folder)) {
            return Some(format!("names `{folder}`, a folder of one machine"));
        }
        if MERGE_MARKERS.iter().any(|marker| line.starts_with(marker)) {
            return Some("holds a merge marker".to_owned());
        }
        if is_lock && line.starts_with("source = ") && line != CRATES_IO {
            return Some("takes a package from elsewhere than crates.io".to_owned());
        }
        None
    };
    file.text.lines().enumerate().filter_map(|(i, line)| Some(at(&file.path, i, problem(line)?))).collect()
}

/// Returns whether `line` holds `folder` as an absolute path, not as the end of a longer one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-*}".contains(c))
    })
}

#[cfg(test)]
mod tests;
