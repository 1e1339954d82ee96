//! Tests of trigger names.

use super::{AutotriggerError, Registry, TRIGGERS_MAX};
use backsight_core::ids::TriggerId;

#[test]
fn a_name_may_come_again_and_keeps_its_id() {
    let registry = Registry::new();
    let first = registry.register("slow checkout").unwrap();
    assert_eq!(registry.register("slow checkout").unwrap(), first);
    assert_eq!(first, TriggerId::from_name("slow checkout").unwrap());
}

#[test]
fn a_clash_names_both_names() {
    let registry = Registry::new();
    registry.insert("first", TriggerId(4711)).unwrap();
    let text = registry.insert("second", TriggerId(4711)).unwrap_err().to_string();
    assert!(text.contains("`first`") && text.contains("`second`"), "{text}");
}

#[test]
fn the_1025th_name_is_refused() {
    let registry = Registry::new();
    for number in 0..TRIGGERS_MAX as u32 {
        registry.insert("x", TriggerId(1000 + number)).unwrap();
    }
    assert!(matches!(registry.insert("y", TriggerId(1)), Err(AutotriggerError::TooMany { .. })));
}

#[test]
fn empty_and_endless_names_are_refused() {
    let registry = Registry::new();
    assert!(matches!(registry.register(""), Err(AutotriggerError::NameLen { bytes: 0 })));
    assert!(registry.register(&"x".repeat(257)).is_err());
}
