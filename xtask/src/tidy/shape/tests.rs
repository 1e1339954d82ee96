//! Tests of the shape of files: each rule fails on a file that breaks it.

use super::{check, length_advice};
use crate::tidy::source::SourceFile;

fn problems(path: &str, text: &str) -> Vec<String> {
    check(&SourceFile::new(path, text))
}

fn of_lines(n_lines: usize) -> SourceFile {
    SourceFile::new("core/src/a.rs", &format!("//! A file.\n{}", "\n".repeat(n_lines - 1)))
}

#[test]
fn plain_file_passes() {
    assert!(problems("core/src/a.rs", "//! A.\nuse a::{b, c};\nfn f(x: &u8) -> u8 { *x * 2 }\n").is_empty());
}

#[test]
fn long_file_is_advised_then_refused() {
    assert!(length_advice(&of_lines(500)).is_none());
    assert!(length_advice(&of_lines(501)).is_some());
    assert!(check(&of_lines(800)).is_empty());
    assert_eq!(check(&of_lines(801)).len(), 1);
}

#[test]
fn file_without_its_doc_is_refused() {
    assert_eq!(
        problems("core/benches/a.rs", "// A.\n"),
        ["core/benches/a.rs:1: begins without `//!`: say what lives here, who calls it, what it must never do"]
    );
}

#[test]
fn mod_rs_is_refused() {
    assert!(problems("core/src/ids/mod.rs", "//! A.\n")[0].contains("name it core/src/ids.rs"));
}

#[test]
fn glob_import_is_refused() {
    for import in [
        "use a::*;",
        "pub use a::b::*;",
        "pub(crate) use a::*;",
        "use a::{\n    b::*,\n    c,\n};",
        "fn f() { use a::*; }",
    ] {
        assert_eq!(problems("core/src/a.rs", &format!("//! A.\n{import}\n")).len(), 1, "{import}");
    }
    assert_eq!(problems("core/src/a.rs", "//! A.\nuse super::*;\n").len(), 1);
    assert_eq!(problems("core/src/a/tests.rs", "//! A.\nuse a::b::*;\n").len(), 1);
}

#[test]
fn tests_may_import_their_parent_and_preludes() {
    assert!(problems("core/src/a/tests.rs", "//! A.\nuse super::*;\nuse proptest::prelude::*;\n").is_empty());
    assert!(problems("core/src/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n").is_empty());
}
