//! Tests of the rule on atomics.

use super::check;
use crate::tidy::source::SourceFile;

fn n_problems(path: &str, text: &str) -> usize {
    check(&SourceFile::new(path, text)).len()
}

#[test]
fn foreign_atomics_are_refused() {
    for text in [
        "use std::sync::atomic::AtomicU64;",
        "use core::sync::atomic::{AtomicU64, Ordering};",
        "use std::sync::{Arc, atomic::AtomicU64};",
        "use std::{\n    sync::atomic,\n};",
        "fn f() { std::sync::atomic::fence(x) }",
        "use loom::sync::Arc;",
        "shuttle::thread::yield_now();",
    ] {
        assert_eq!(n_problems("ringbuf/src/log.rs", text), 1, "{text}");
    }
}

#[test]
fn shim_is_welcome() {
    let text =
        "use backsight_core::sync::{AtomicU64, Ordering};\n#[cfg(loom)]\nfn atomic(atomic: u8) {} // std::sync::atomic";
    assert_eq!(n_problems("client/src/write.rs", text), 0);
}

#[test]
fn other_folders_are_free() {
    let text = "use std::sync::atomic::AtomicU64;";
    assert_eq!(n_problems("agent/src/main.rs", text), 0);
    assert_eq!(n_problems("core/src/sync.rs", text), 0);
    assert_eq!(n_problems("ringbuf/tests/threads.rs", text), 0);
    assert_eq!(n_problems("client/capi/src/lib.rs", text), 1);
}
