//! Claims about lists as bytes: they survive, and other bytes are refused.

use super::{DecodeListError, diffs, intervals, put_diffs, put_intervals};
use crate::agg::contention::Diff;
use crate::agg::slot::Task;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

fn any_diffs() -> impl Strategy<Value = Vec<Diff>> {
    let by = any::<i32>().prop_filter("a change", |by| *by != 0);
    prop::collection::btree_map(0..1000_u16, by, 0..40)
        .prop_map(|diffs| diffs.into_iter().map(|(ms, by)| Diff { ms, by }).collect())
}

fn any_intervals() -> impl Strategy<Value = Vec<(Task, u64)>> {
    let task = (any::<i64>(), prop_oneof![1..100_u64, 1..1_u64 << 62], 1..u64::MAX);
    prop::collection::vec(task, 0..20).prop_map(|tasks| {
        let mut sorted: BTreeMap<(Reverse<u64>, i64), u64> = BTreeMap::new();
        for (first_ms, len_ms, n) in tasks {
            if first_ms.checked_add_unsigned(len_ms).is_some() {
                sorted.insert((Reverse(len_ms), first_ms), n);
            }
        }
        let task = |((Reverse(len_ms), first_ms), n): ((Reverse<u64>, i64), u64)| {
            (Task { first_ms, last_ms: first_ms + (len_ms - 1).cast_signed() }, n)
        };
        sorted.into_iter().map(task).collect()
    })
}

proptest! {
    /// For any list: its bytes are read back as it.
    #[test]
    fn lists_survive_their_bytes(changes in any_diffs(), tasks in any_intervals()) {
        let (mut bytes, mut more) = (Vec::new(), Vec::new());
        put_diffs(&mut bytes, &changes);
        put_intervals(&mut more, &tasks);
        prop_assert_eq!(diffs(&bytes), Ok(changes));
        prop_assert_eq!(intervals(&more), Ok(tasks));
    }

    /// For any bytes: a list whose only form they are, or an error; no panic.
    #[test]
    fn any_bytes_are_a_list_or_an_error(mut bytes in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..60), is_ours: bool) {
        if let Some(first) = bytes.first_mut().filter(|_| is_ours) {
            *first = 1;
        }
        if let Ok(changes) = diffs(&bytes) {
            let mut again = Vec::new();
            put_diffs(&mut again, &changes);
            prop_assert_eq!(&again, &bytes);
        }
        if let Ok(tasks) = intervals(&bytes) {
            let mut again = Vec::new();
            put_intervals(&mut again, &tasks);
            prop_assert_eq!(&again, &bytes);
        }
    }

    /// For any list: bytes that are cut, or have one changed, give no panic; those that are cut give an error.
    #[test]
    fn damaged_bytes_do_not_panic(changes in any_diffs(), tasks in any_intervals(), at: prop::sample::Index, byte: u8) {
        let (mut bytes, mut more) = (Vec::new(), Vec::new());
        put_diffs(&mut bytes, &changes);
        put_intervals(&mut more, &tasks);
        prop_assert!(diffs(&bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(intervals(&more[..at.index(more.len())]).is_err());
        let (at, in_more) = (at.index(bytes.len()), at.index(more.len()));
        (bytes[at], more[in_more]) = (byte, byte);
        let _ = (diffs(&bytes), intervals(&more));
    }
}

#[test]
fn lists_that_claim_too_much_are_refused_by_name() {
    assert_eq!(diffs(&[2]), Err(DecodeListError::Version { version: 2 }));
    assert_eq!(diffs(&[1, 0xe9, 7]), Err(DecodeListError::Long { n: 1001, n_max: 1000 }));
    assert_eq!(diffs(&[1, 1, 0xe8, 7, 2]), Err(DecodeListError::Entry { idx: 0 }));
    assert_eq!(diffs(&[1, 1, 5, 0]), Err(DecodeListError::Entry { idx: 0 }));
    assert_eq!(diffs(&[1, 0, 9]), Err(DecodeListError::Trailing { n: 1 }));
    let all: Vec<Diff> = (0..1000).map(|ms| Diff { ms, by: i32::MIN }).collect();
    let mut bytes = Vec::new();
    put_diffs(&mut bytes, &all);
    assert_eq!(diffs(&bytes), Ok(all));
}
