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
fn names_by_which_people_would_find_another_trigger_are_refused() {
    let registry = Registry::new();
    let why = |name| registry.register(name).unwrap_err().to_string();
    assert_eq!(why("cli"), "no trigger can be called `cli`: it is read as trigger cli");
    assert_eq!(why("0x1234"), "no trigger can be called `0x1234`: it is read as trigger 0x1234");
    assert_eq!(why("a\nb"), "no trigger can be called `a\\nb`: a trigger's name has no control characters");
    assert_eq!(registry.names().count(), 0);
    let id = registry.register("checkout.slow").unwrap();
    assert_eq!(registry.names().collect::<Vec<_>>(), [(id, "checkout.slow")]);
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
