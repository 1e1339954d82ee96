//! Tests of the search for residue. The bad lines are put together at run time, so that this file stays clean itself.

use super::check;
use crate::tidy::source::SourceFile;

fn n_problems(path: &str, text: &str) -> usize {
    check(&SourceFile::new(path, text)).len()
}

#[test]
fn folder_of_one_machine_is_found() {
    for folder in ["wo rk/", "fa rm/", "ro ot/", "tmp/bash _jobs"] {
        let folder = folder.replace(' ', "");
        assert_eq!(n_problems("docs/a.md", &format!("see `/{folder}x`")), 1, "{folder}");
        assert_eq!(n_problems("a.toml", &format!("path = \"/{folder}x\"")), 1, "{folder}");
    }
}

#[test]
fn same_word_inside_of_another_path_passes() {
    assert_eq!(n_problems("a.md", &format!("a/{0}x and https://host/{0}x and ./{0}x", "work/")), 0);
}

#[test]
fn merge_marker_is_found() {
    for marker in ['<', '>', '|'] {
        assert_eq!(n_problems("a.rs", &format!("{} HEAD", String::from(marker).repeat(7))), 1);
    }
    assert_eq!(n_problems("a.md", "Title\n======="), 0);
}

#[test]
fn lock_file_names_crates_io_alone() {
    let crates_io = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    assert_eq!(n_problems("Cargo.lock", crates_io), 0);
    assert_eq!(n_problems("Cargo.lock", "source = \"registry+https://mirror.example/index\""), 1);
    assert_eq!(n_problems("Cargo.lock", "source = \"git+https://github.com/a/b#c\""), 1);
}
