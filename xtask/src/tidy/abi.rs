//! The tables of the ABI document, against what the code says of itself.
//!
//! Called by `tidy`. The example `abi_tables` of ringbuf prints each table between the same markers that the document has; the
//! comparison is on text, block by block. With `--bless` the document takes over what the code prints.

use super::at;
use crate::process;
use crate::workspace::Workspace;
use std::fmt;

const DOCUMENT: &str = "docs/spec/shm-abi.md";
const EXAMPLE: &str = "abi_tables";
const PACKAGE: &str = "backsight-ringbuf";
const CLOSE: &str = "<!-- /abi -->";

/// A table between its markers.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Block<'a> {
    name: &'a str,
    /// The position of the line that opens it.
    line_idx: usize,
    lines: Vec<&'a str>,
}

/// Returns where document and code differ, after rewriting the document if `bless` asks for it.
pub(crate) fn check(workspace: &Workspace, bless: bool) -> Vec<String> {
    match compare(workspace, bless) {
        Ok(problems) => problems,
        Err(error) => vec![format!("{DOCUMENT}: {error:#}")],
    }
}

fn compare(workspace: &Workspace, bless: bool) -> anyhow::Result<Vec<String>> {
    let has_example = workspace
        .package(PACKAGE)
        .is_some_and(|package| package.targets.iter().any(|target| target.is("example") && target.name == EXAMPLE));
    if !has_example {
        anyhow::bail!("{PACKAGE} has no example `{EXAMPLE}` that prints the tables of the ABI");
    }
    let path = workspace.root.join(DOCUMENT);
    let document = std::fs::read_to_string(&path)?;
    let mut command = process::cargo(&workspace.root);
    let printed = process::output(command.args(["run", "--quiet", "--package", PACKAGE, "--example", EXAMPLE]))?;
    let document = match bless {
        false => document,
        true => {
            let blessed = blessed(&document, &printed)?;
            std::fs::write(&path, &blessed)?;
            blessed
        }
    };
    Ok(differences(&document, &printed).unwrap_or_else(|error| vec![error.to_string()]))
}

/// A text whose markers do not pair up.
#[derive(Debug, PartialEq, Eq)]
enum MarkerError {
    NeverClosed { name: String },
    Nested { name: String, within: String },
    ClosedTwice { line: usize },
    Twice { name: String },
}

impl fmt::Display for MarkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverClosed { name } => write!(f, "the table `{name}` is never closed by `{CLOSE}`"),
            Self::Nested { name, within } => write!(f, "the table `{name}` begins inside of `{within}`"),
            Self::ClosedTwice { line } => write!(f, "line {line}: `{CLOSE}` closes nothing"),
            Self::Twice { name } => write!(f, "the table `{name}` stands there twice"),
        }
    }
}

impl std::error::Error for MarkerError {}

/// Returns the tables that differ, are missing in the document, or are printed by nothing.
fn differences(document: &str, printed: &str) -> Result<Vec<String>, MarkerError> {
    let (documented, printed) = (blocks(document)?, blocks(printed)?);
    let mut problems = Vec::new();
    for block in &printed {
        match documented.iter().find(|documented| documented.name == block.name) {
            None => problems.push(format!("{DOCUMENT}: lacks the table `{}`; add its markers, then bless", block.name)),
            Some(documented) => problems.extend(difference(documented, block)),
        }
    }
    for block in documented.iter().filter(|block| printed.iter().all(|printed| printed.name != block.name)) {
        problems.push(at(DOCUMENT, block.line_idx, format!("no code prints the table `{}`", block.name)));
    }
    if printed.is_empty() {
        problems.push(format!("{DOCUMENT}: `{EXAMPLE}` prints no table"));
    }
    Ok(problems)
}

fn difference(documented: &Block<'_>, printed: &Block<'_>) -> Option<String> {
    if documented.lines == printed.lines {
        return None;
    }
    let n_same = documented.lines.iter().zip(&printed.lines).take_while(|(ours, theirs)| ours == theirs).count();
    let line = |block: &Block<'_>| block.lines.get(n_same).map_or("(nothing)".to_owned(), |line| format!("`{line}`"));
    let (says, is) = (line(documented), line(printed));
    let fix = "cargo xtask tidy --bless";
    let what = format!("table `{}` says {says}, the code says {is}; if the code is right: {fix}", documented.name);
    Some(at(DOCUMENT, documented.line_idx + 1 + n_same, what))
}

/// Returns `document` with the insides of its tables replaced by what the code printed.
fn blessed(document: &str, printed: &str) -> Result<String, MarkerError> {
    let (documented, printed) = (blocks(document)?, blocks(printed)?);
    let lines: Vec<&str> = document.lines().collect();
    let mut blessed: Vec<&str> = Vec::new();
    let mut next = 0;
    for block in &documented {
        let new = printed.iter().find(|printed| printed.name == block.name).unwrap_or(block);
        blessed.extend(&lines[next..=block.line_idx]);
        blessed.extend(&new.lines);
        next = block.line_idx + 1 + block.lines.len();
    }
    blessed.extend(&lines[next..]);
    Ok(blessed.join("\n") + "\n")
}

/// Returns the tables of `text` in their order.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, MarkerError> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (line_idx, line) in text.lines().enumerate() {
        match (opened(line), open.as_mut()) {
            (Some(name), Some(within)) => {
                return Err(MarkerError::Nested { name: name.to_owned(), within: within.name.to_owned() });
            }
            (Some(name), None) if blocks.iter().any(|block| block.name == name) => {
                return Err(MarkerError::Twice { name: name.to_owned() });
            }
            (Some(name), None) => open = Some(Block { name, line_idx, lines: Vec::new() }),
            (None, None) if line.trim() == CLOSE => return Err(MarkerError::ClosedTwice { line: line_idx + 1 }),
            (None, None) => {}
            (None, Some(block)) if line.trim() != CLOSE => block.lines.push(line),
            (None, Some(_)) => blocks.extend(open.take()),
        }
    }
    match open {
        None => Ok(blocks),
        Some(block) => Err(MarkerError::NeverClosed { name: block.name.to_owned() }),
    }
}

/// Returns the name of the table that `line` opens.
fn opened(line: &str) -> Option<&str> {
    line.trim().strip_prefix("<!-- abi:")?.strip_suffix("-->").map(str::trim)
}

#[cfg(test)]
mod tests;
