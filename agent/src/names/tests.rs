//! Claims about the names of triggers: found where a process left them, believed only if they are right, bounded whoever asks.

use super::{CANDIDATES_MAX, LOOKS_PER_S, Names, SOUGHT_FOR, SOUGHT_MAX, Search};
use crate::limits::TRIGGERS_MAX;
use backsight_core::ids::TriggerId;
use backsight_core::names::TriggerName;
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::units::Nanos;
use backsight_ringbuf::abi;
use backsight_ringbuf::storage::{Heap, Storage};
use backsight_ringbuf::strings;
use proptest::prelude::{any, prop_assert, proptest};

/// Returns a region of which only the table of strings is there: room for 500 of them.
fn store() -> Heap {
    let windows = [(abi::STRINGS_OFFSET, 1024), (abi::STRING_BYTES_OFFSET, (abi::STRING_BYTES / 8) as usize)];
    Heap::new(abi::SPAN_OFFSET, &windows)
}

fn id(text: &str) -> TriggerId {
    TriggerId::from_name(text).unwrap()
}

fn leave(store: &Heap, text: &str) {
    strings::intern(store, text.as_bytes(), id(text).0).unwrap();
}

#[test]
fn a_name_is_found_among_the_strings_of_whoever_fires_it() {
    let (store, mut names, mut search) = (store(), Names::default(), Search::new(Nanos(0)));
    leave(&store, "span of somebody");
    leave(&store, "bricks.slow");
    names.meet(&mut search, &store, id("bricks.slow"), Nanos(0));
    names.meet(&mut search, &store, id("nobody told"), Nanos(0));
    assert_eq!(names.label(id("bricks.slow")), "bricks.slow");
    assert_eq!(names.label(id("nobody told")), id("nobody told").to_string());
    assert_eq!(names.label(TriggerId::PROCESS_DEATH), "process_death");
}

#[test]
fn a_name_that_is_left_later_is_found_later() {
    let (store, mut names, mut search) = (store(), Names::default(), Search::new(Nanos(0)));
    let late = id("late");
    names.meet(&mut search, &store, late, Nanos(0));
    leave(&store, "late");
    names.meet(&mut search, &store, late, Nanos(SOUGHT_FOR.0 - 1));
    assert_eq!(names.name(late), None, "it was sought a moment ago");
    names.meet(&mut search, &store, late, SOUGHT_FOR);
    assert_eq!(names.label(late), "late");
}

#[test]
fn strings_under_the_hash_of_another_are_not_believed() {
    let store = store();
    for lie in ["wrong", "worse", "a\u{1b}[2J"] {
        strings::intern(&store, lie.as_bytes(), id("right").0).unwrap();
    }
    strings::intern(&store, b"\xff\xfe", id("right").0).unwrap();
    assert_eq!(super::find(&store, id("right")), None);
    strings::intern(&store, b"right", id("right").0).unwrap();
    assert_eq!(super::find(&store, id("right")), None, "only {CANDIDATES_MAX} are looked at: it fools itself alone");
    assert_eq!(super::find(&store, id("wrong")), None, "a string is found under its own hash only");
}

#[test]
fn random_ids_cost_a_bounded_number_of_looks_and_no_other_process_its_names() {
    let (store, mut names) = (store(), Names::default());
    let (mut hostile, mut honest) = (Search::new(Nanos(0)), Search::new(Nanos(0)));
    leave(&store, "bricks.slow");
    for trigger in 1000..9000 {
        names.meet(&mut hostile, &store, TriggerId(trigger), Nanos(0));
    }
    assert_eq!(hostile.sought.len() as u64, LOOKS_PER_S);
    for second in 1..20 {
        for trigger in 0..100 {
            names.meet(
                &mut hostile,
                &store,
                TriggerId(9000 + 100 * second + trigger),
                Nanos::from_ms(u64::from(second) * 1000),
            );
        }
        assert!(hostile.sought.len() <= SOUGHT_MAX);
    }
    names.meet(&mut honest, &store, id("bricks.slow"), Nanos(0));
    assert_eq!(names.label(id("bricks.slow")), "bricks.slow");
}

#[test]
fn names_that_others_tell_never_displace_those_of_the_host() {
    let mut names = Names::default();
    names.told("bricks.slow");
    names.told("0x1234");
    names.told("manual");
    for number in 0..3 * TRIGGERS_MAX {
        names.heard(&TriggerName::new(&format!("stranger {number}")).unwrap());
        assert!(names.heard.len() <= TRIGGERS_MAX);
    }
    assert_eq!((names.own.len(), names.label(id("bricks.slow"))), (1, "bricks.slow".to_owned()));
    let newest = format!("stranger {}", 3 * TRIGGERS_MAX - 1);
    assert_eq!(names.label(id(&newest)), newest);
}

#[test]
fn names_that_one_process_made_up_do_not_keep_out_those_that_come_later() {
    let mut names = Names::default();
    for number in 0..TRIGGERS_MAX {
        names.told(&format!("made up {number}"));
    }
    names.told("bricks.slow");
    assert_eq!((names.own.len(), names.label(id("bricks.slow"))), (1, "bricks.slow".to_owned()));
}

proptest! {
    /// For any words in the table of strings: a look ends, and what it finds is a name of the trigger that was looked for.
    #[test]
    fn a_table_that_somebody_scribbled_over_gives_right_names_or_none(
        words in proptest::collection::vec((0_u64..40, any::<u64>()), 1..12),
        bytes in proptest::collection::vec(any::<u64>(), 0..8),
        n in 0_u64..500,
    ) {
        let store = store();
        leave(&store, "bricks.slow");
        for (word, value) in words {
            store.word(abi::STRINGS_OFFSET + 8 * word).store(value, Relaxed); // one thread
        }
        for (word, value) in bytes.into_iter().enumerate() {
            store.word(abi::STRING_BYTES_OFFSET + 8 * word as u64).store(value, Relaxed); // as above
        }
        store.word(abi::STRINGS_OFFSET + abi::strings::CURSOR_IDS).store(n, Relaxed); // as above
        for trigger in [id("bricks.slow"), TriggerId(256), TriggerId(u32::MAX)] {
            let found = super::find(&store, trigger);
            prop_assert!(found.is_none_or(|name| name.id() == trigger));
        }
    }
}
