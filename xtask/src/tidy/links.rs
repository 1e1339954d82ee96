//! Links between documents: each relative link of a Markdown file leads to a file or folder of the repository.
//!
//! Called by `tidy`. It follows nothing on the network.

use super::at;
use crate::tidy::source::SourceFile;

/// Returns the links of `file` that lead nowhere; `exists` tells whether a path from the root is there.
pub(crate) fn check(file: &SourceFile, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut problems = Vec::new();
    let mut in_fence = false;
    for (line_idx, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        for target in targets(&without_code(line)) {
            let leads = resolved(folder, target).is_some_and(|path| path.is_empty() || exists(&path));
            if !leads {
                problems.push(at(&file.path, line_idx, format!("links to `{target}`, which does not exist")));
            }
        }
    }
    problems
}

/// Returns `line` without its `code spans`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Returns the paths that a line links to, without titles and anchors; links to other sites are left out.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.match_indices("](").filter_map(|(start, _)| line[start + 2..].split(')').next());
    let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    let is_local = |target: &&str| !target.contains("://") && !target.starts_with("mailto:");
    let paths = inline.chain(reference).filter(is_local).filter_map(|target| target.split([' ', '#']).next());
    paths.filter(|path| !path.is_empty()).collect()
}

/// Returns `target`, seen from `folder`, as a path from the root; `None` where it leaves the repository.
fn resolved(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests;
