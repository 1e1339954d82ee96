//! The table of faults, `tests/faults.toml`, and the document that readers see of it, `docs/faults.md`.
//!
//! Called by `faults`, which runs it, and by `tidy`, which checks that it still fits the sources. Pure, but for reading the one file.

use crate::tidy::source::SourceFile;
use crate::workspace::{Package, Workspace};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fmt::Write;

/// Where the table stands.
pub(crate) const FILE: &str = "tests/faults.toml";
/// Where readers find it.
pub(crate) const DOCUMENT: &str = "docs/faults.md";

const HEAD: &str = "# Bad input and faults

What happens when something goes wrong around Backsight, and the test that shows each case. `cargo xtask faults` takes what a test shows away,
case by case, and demands that the test then fails; `--only WORD` runs some of them.

Written by `cargo xtask tidy --bless` from [tests/faults.toml](../tests/faults.toml), which holds these texts and the changes.
";

/// The table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    #[serde(rename = "row")]
    pub(crate) rows: Vec<Row>,
    #[serde(rename = "case")]
    pub(crate) cases: Vec<Case>,
}

/// A kind of fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// By which cases name it.
    pub(crate) key: String,
    /// What goes wrong.
    pub(crate) fault: String,
    /// What is required then.
    pub(crate) required: String,
}

/// One case of a row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) row: String,
    pub(crate) case: String,
    /// What happens.
    pub(crate) happens: String,
    pub(crate) package: String,
    /// `lib`, `bin`, or the name of an integration test.
    pub(crate) target: String,
    /// The function.
    pub(crate) test: String,
    /// Binaries of other packages that the test starts.
    #[serde(default)]
    pub(crate) bins: Vec<String>,
    /// Where the mechanism is, the text of it that stands there once, and what takes it away.
    pub(crate) file: String,
    pub(crate) find: String,
    pub(crate) replace: String,
    /// How the test fails without it: `assertion`, `timeout`, or a signal's name.
    #[serde(default = "assertion")]
    pub(crate) fails: String,
}

fn assertion() -> String {
    "assertion".to_owned()
}

impl Case {
    /// Returns whether `filter` stands in anything that names the case.
    pub(crate) fn matches(&self, filter: &str) -> bool {
        [&self.row, &self.case, &self.package, &self.test, &self.file].iter().any(|text| text.contains(filter))
    }

    /// Returns what names the target to cargo.
    pub(crate) fn target_arguments(&self) -> Vec<&str> {
        match self.target.as_str() {
            "lib" => vec!["--lib"],
            "bin" => vec!["--bins"],
            name => vec!["--test", name],
        }
    }
}

impl Table {
    /// Reads the table of `workspace`.
    ///
    /// # Errors
    /// It cannot be read, or is not of this form.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let text = std::fs::read_to_string(workspace.root.join(FILE)).with_context(|| format!("read {FILE}"))?;
        toml::from_str(&text).with_context(|| format!("read {FILE}"))
    }

    /// Returns what no longer fits the sources: rows without a case, texts that do not stand where they should, tests that are not there.
    pub(crate) fn problems(&self, workspace: &Workspace, files: &[SourceFile]) -> Vec<String> {
        let mut problems = Vec::new();
        for row in self.rows.iter().filter(|row| self.cases.iter().all(|case| case.row != row.key)) {
            problems.push(format!("{FILE}: no case shows `{}`", row.fault));
        }
        for case in &self.cases {
            let mut wrong =
                |what: String| problems.push(format!("{FILE}: case `{}` of `{}`: {what}", case.case, case.row));
            if self.rows.iter().all(|row| row.key != case.row) {
                wrong("there is no such row".to_owned());
            }
            if self.cases.iter().filter(|other| (&other.row, &other.case) == (&case.row, &case.case)).count() > 1 {
                wrong("stands there twice".to_owned());
            }
            let text = files.iter().find(|file| file.path == case.file).map_or("", |file| &file.text);
            let n_found = text.matches(&case.find).count();
            if n_found != 1 || case.find == case.replace {
                wrong(format!("{} must hold once what is replaced, not {n_found} times", case.file));
            }
            if let Err(why) = test_file(case, workspace, files) {
                wrong(why);
            }
        }
        problems
    }

    /// Returns the text of the document.
    pub(crate) fn document(&self, workspace: &Workspace, files: &[SourceFile]) -> String {
        let mut text = HEAD.to_owned();
        for row in &self.rows {
            let _ = write!(text, "\n## {}\n\nRequired: {}.\n\n", row.fault, row.required);
            text += "| case | what happens | the test that shows it |\n|---|---|---|\n";
            for case in self.cases.iter().filter(|case| case.row == row.key) {
                let path = test_file(case, workspace, files).unwrap_or("?");
                let _ = writeln!(text, "| {} | {} | `{}` in [{path}](../{path}) |", case.case, case.happens, case.test);
            }
        }
        text
    }
}

/// Returns the file in which the test of a case stands.
fn test_file<'f>(case: &Case, workspace: &Workspace, files: &'f [SourceFile]) -> Result<&'f str, String> {
    let package = workspace.package(&case.package).ok_or_else(|| format!("there is no package `{}`", case.package))?;
    let (root, folder) = sources(case, package, workspace)
        .ok_or_else(|| format!("package `{}` has no test target `{}`", case.package, case.target))?;
    let function = format!("fn {}(", case.test);
    let holds =
        |file: &&SourceFile| (file.path == root || file.path.starts_with(&folder)) && file.text.contains(&function);
    let found: Vec<&SourceFile> = files.iter().filter(holds).collect();
    match found[..] {
        [file] => Ok(&file.path),
        [] => Err(format!("there is no test `{}` in {root} and below {folder}", case.test)),
        _ => Err(format!("there is more than one test `{}`", case.test)),
    }
}

/// Returns the file that a case's target begins with, and the folder of its modules.
fn sources(case: &Case, package: &Package, workspace: &Workspace) -> Option<(String, String)> {
    let is_it = |target: &&crate::workspace::Target| match case.target.as_str() {
        kind @ ("lib" | "bin") => target.is(kind),
        name => target.is("test") && target.name == name,
    };
    let root = workspace.relative(&package.targets.iter().find(is_it)?.src_path);
    let stem = root.strip_suffix(".rs")?;
    let folder = match stem.strip_suffix("/main").or_else(|| stem.strip_suffix("/lib")) {
        Some(folder) => format!("{folder}/"),
        None => format!("{stem}/"),
    };
    Some((root, folder))
}

#[cfg(test)]
mod tests;
