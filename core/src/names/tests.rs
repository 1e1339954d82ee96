//! Claims about names of triggers.

use super::{TRIGGER_NAME_MAX_BYTES, TriggerName, TriggerNameError, TriggerNames};
use crate::ids::TriggerId;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

fn name(text: &str) -> TriggerName {
    TriggerName::new(text).unwrap()
}

proptest! {
    /// For any text: whatever is a name is that of the trigger which people find by it, and fits.
    #[test]
    fn a_name_is_always_that_of_its_id(text in "\\PC{0,300}|.{0,40}|0x[0-9a-f]{1,9}") {
        if let Ok(name) = TriggerName::new(&text) {
            prop_assert_eq!(TriggerId::from_text(name.text()), Some(name.id()));
            prop_assert_eq!(TriggerId::from_name(name.text()), Some(name.id()));
            prop_assert!((1..=TRIGGER_NAME_MAX_BYTES).contains(&name.text().len()));
            prop_assert!(!name.text().chars().any(char::is_control));
        }
    }

    /// For any names in any order: the first of each trigger is kept, up to the bound, in order of the ids.
    #[test]
    fn a_table_holds_one_name_a_trigger(texts in proptest::collection::vec("[a-d]{1,2}", 0..40), max in 0_usize..12) {
        let mut names = TriggerNames::new();
        let added = texts.iter().filter(|text| names.add(name(text), max)).count();
        prop_assert_eq!(names.len(), added);
        prop_assert!(added <= max);
        prop_assert!(names.iter().map(TriggerName::id).is_sorted_by(|a, b| a < b));
        prop_assert!(names.iter().all(|name| names.get(name.id()) == Some(name.text())));
    }
}

#[test]
fn texts_that_mean_something_else_are_no_names() {
    let why = |text: &str| TriggerName::new(text).unwrap_err();
    assert_eq!(why(""), TriggerNameError::Len { bytes: 0 });
    assert_eq!(why(&"x".repeat(257)), TriggerNameError::Len { bytes: 257 });
    assert_eq!(why("manual"), TriggerNameError::Taken { of: TriggerId::MANUAL });
    assert_eq!(why("0x185dae97"), TriggerNameError::Taken { of: TriggerId(0x185d_ae97) });
    assert_eq!(why("a\u{1b}[2J"), TriggerNameError::Control);
    assert!(TriggerName::new("0xyz, by hand").is_ok());
}

#[test]
fn what_has_no_name_is_shown_by_its_id() {
    let mut names = TriggerNames::new();
    assert!(names.add(name("bricks.slow"), 9) && !names.add(name("bricks.slow"), 9));
    let id = name("bricks.slow").id();
    assert_eq!(names.label(id), "bricks.slow");
    assert_eq!(names.label(TriggerId::MANUAL), "manual");
    assert_eq!(names.label(TriggerId(0x1234)), "0x1234");
    assert_eq!(names.only(|of| of != id).len(), 0);
}
