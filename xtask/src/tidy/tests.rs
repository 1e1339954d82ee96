//! The rules of the repository as a test: `cargo nextest run` fails where `cargo xtask tidy` does.

use super::{Options, problems, source};
use crate::workspace::Workspace;

#[test]
fn workspace_is_tidy() {
    let workspace = Workspace::load().unwrap();
    let files = source::files(&workspace.root).unwrap();
    let problems = problems(&workspace, &files, &Options::default());
    assert!(problems.is_empty(), "cargo xtask tidy finds:\n{}", problems.join("\n"));
}
