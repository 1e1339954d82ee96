//! The files of the repository, as the checks see them.
//!
//! Called by `tidy`, once. It reads what git tracks or would track, so that nothing ignored is ever checked.

use super::scan;
use crate::process;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// A text file of the repository.
pub(crate) struct SourceFile {
    /// Relative to the root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and literals blanked out, line by line as long as before; empty for other languages than Rust.
    pub(crate) code: String,
}

impl SourceFile {
    /// Returns the file called `path` that holds `text`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { scan::code_only(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// Returns whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Returns whether it holds nothing but tests, by its place.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.split('/').any(|part| part == "tests")
    }
}

/// Folders that are never part of the repository; they matter where there is no git to ask.
const NEVER: &[&str] = &[".git", "target", "node_modules"];

/// Reads every text file of the repository at `root`, sorted by path.
///
/// # Errors
/// A file or folder cannot be read.
pub(crate) fn files(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in paths(root)? {
        let full = root.join(&path);
        // Removed but still in the index, a link, or a submodule.
        if !full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = std::fs::read(&full).with_context(|| format!("read {path}"))?;
        // What is not UTF-8 is data.
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile::new(&path, &text));
        }
    }
    Ok(files)
}

/// Returns the paths of all files of the repository at `root`, sorted; some may be links, or removed but still in the index.
///
/// # Errors
/// A folder cannot be read.
pub(crate) fn paths(root: &Path) -> Result<Vec<String>> {
    let mut paths = match paths_from_git(root) {
        Ok(paths) => paths,
        // An unpacked archive has no git.
        Err(_) => paths_from_folder(root)?,
    };
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

fn paths_from_git(root: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("git");
    command.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let paths = process::output(&mut command)?;
    Ok(paths.split_terminator('\0').map(str::to_owned).collect())
}

/// Returns the paths of all files below `root`, but for what is never part of a repository.
///
/// # Errors
/// A folder cannot be read.
pub(crate) fn paths_from_folder(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() && !NEVER.iter().any(|never| entry.file_name() == *never) {
                folders.push(path);
            } else if kind.is_file() {
                let relative = path.strip_prefix(root).expect("it was found below the root");
                paths.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(paths)
}
