//! Tests of the links between documents.

use super::check;
use crate::tidy::source::SourceFile;

fn n_problems(text: &str) -> usize {
    let exists = |path: &str| ["README.md", "docs/spec", "docs/spec/shm-abi.md"].contains(&path);
    check(&SourceFile::new("docs/guide.md", text), exists).len()
}

#[test]
fn good_links_pass() {
    for text in [
        "[a](../README.md) and [b](spec/shm-abi.md#layout), [c](./spec/)",
        "[a](https://example.org/x), [b](mailto:a@example.org), [c](#here), [d](..)",
        "[ref]: ../README.md",
        "`[a](nowhere.md)`",
        "```\n[a](nowhere.md)\n```",
    ] {
        assert_eq!(n_problems(text), 0, "{text}");
    }
}

#[test]
fn dead_links_are_found() {
    for text in [
        "[a](nowhere.md)",
        "[a](../README.md) [b](README.md)",
        "![a](picture.svg \"title\")",
        "[ref]: nowhere.md",
        "[a](/docs/spec/shm-abi.md)",
        "[a](../../README.md)",
        "```\n```\n[a](nowhere.md#x)",
    ] {
        assert_eq!(n_problems(text), 1, "{text}");
    }
}
