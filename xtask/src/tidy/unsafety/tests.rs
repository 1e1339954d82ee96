//! Tests of the list of unsafe files: it is exact in both directions.

use super::{CrateRoot, check, listed};
use crate::tidy::source::SourceFile;

const DOCUMENT: &str = "# A\n## Unsafe\nThese:\n- `ringbuf/src/map.rs`: mapping\n\n## Next\n- `core/src/ids.rs`\n";
const UNSAFE: &str = "//! A.\nfn f() { unsafe { g() } }\n";

fn problems(document: &str, files: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![SourceFile::new("ARCHITECTURE.md", document)];
    all.extend(files.iter().map(|(path, text)| SourceFile::new(path, text)));
    let root = |path: &str, sources: &str| CrateRoot { path: path.to_owned(), sources: sources.to_owned() };
    check(&all, &[root("ringbuf/src/lib.rs", "ringbuf/src/"), root("core/src/lib.rs", "core/src/")])
}

const GOOD: [(&str, &str); 3] = [
    ("ringbuf/src/map.rs", UNSAFE),
    ("ringbuf/src/lib.rs", "//! A.\n"),
    ("core/src/lib.rs", "//! unsafe\n#![forbid(unsafe_code)]\nconst A: &str = \"unsafe\";\n"),
];

#[test]
fn exact_list_passes() {
    assert_eq!(problems(DOCUMENT, &GOOD), [""; 0]);
}

#[test]
fn unsafe_in_another_file_is_refused() {
    let mut files = GOOD.to_vec();
    files.push(("ringbuf/src/log.rs", UNSAFE));
    files.push(("client/capi/src/lib.rs", "//! A.\n#[unsafe(no_mangle)]\nfn f() {}\n"));
    let problems = problems(DOCUMENT, &files);
    assert_eq!(problems.len(), 2);
    assert!(problems[0].starts_with("ringbuf/src/log.rs:2: unsafe code"), "{}", problems[0]);
}

#[test]
fn stale_entry_is_refused() {
    let mut files = GOOD;
    files[0].1 = "//! A.\n";
    assert!(problems(DOCUMENT, &files)[0].contains("has no unsafe code"));
    assert!(problems(DOCUMENT, &files[1..])[0].contains("does not exist"));
}

#[test]
fn crate_without_listed_files_must_forbid_unsafe() {
    let mut files = GOOD;
    files[2].1 = "//! A.\n// #![forbid(unsafe_code)]\n";
    assert_eq!(problems(DOCUMENT, &files), ["core/src/lib.rs:1: has no unsafe code, so say `#![forbid(unsafe_code)]`"]);
}

#[test]
fn missing_list_is_refused() {
    assert_eq!(problems("# A\n", &GOOD).len(), 1);
    assert_eq!(check(&[], &[]).len(), 1);
}

#[test]
fn list_ends_at_the_next_heading() {
    assert_eq!(listed(DOCUMENT).unwrap(), [(3, "ringbuf/src/map.rs".to_owned())]);
}
