//! Tests of compositions.

use super::{CONDITIONS_MAX, Condition, Sample};
use crate::autotrigger::{Burning, Outcome, Spans};
use proptest::prelude::{any, prop_assert_eq, proptest};

fn bad() -> Condition {
    Condition::bad()
}

fn outcome(is_bad: bool) -> Outcome {
    if is_bad { Outcome::Bad } else { Outcome::Good }
}

proptest! {
    /// For every stream: a composition decides as its members do alone, each of which sees every sample.
    #[test]
    fn composition_decides_as_its_members_do_alone(stream in proptest::collection::vec((any::<u16>(), 0_u8..4, any::<bool>()), 3000)) {
        let members = || [
            Condition::percentile(0.9).unwrap(),
            Condition::category(0.3).unwrap(),
            Condition::burn(Burning::of(0.03)).unwrap(),
            bad(),
        ];
        let (alone, all, any) = (members(), Condition::all_of(members()).unwrap(), Condition::any_of(members()).unwrap());
        let labels = ["get", "put", "put", "put"];
        for (i, (value, label, is_bad)) in stream.into_iter().enumerate() {
            let sample = Sample { value: value.into(), label: labels[usize::from(label)], outcome: outcome(is_bad) };
            let now_ns = i as u64 * 10_000_000;
            let held = alone.each_ref().map(|member| member.test(&sample, i, now_ns));
            prop_assert_eq!(all.test(&sample, i, now_ns), held.iter().all(|held| *held));
            prop_assert_eq!(any.test(&sample, i, now_ns), held.iter().any(|held| *held));
        }
    }
}

#[test]
fn compositions_nest_and_say_whether_they_look_at_the_time() {
    let slow_or_many =
        Condition::any_of([Condition::percentile(0.99).unwrap(), Condition::rate(1e6, Spans::default()).unwrap()]);
    let nested = Condition::all_of([bad(), slow_or_many.unwrap()]).unwrap();
    assert!(nested.reads_time() && !Condition::all_of([bad()]).unwrap().reads_time());
    let sample = Sample { outcome: Outcome::Bad, ..Sample::default() };
    assert!(!nested.test(&sample, 0, 0), "bad, but neither slow nor one of many");
}

#[test]
fn empty_and_endless_compositions_are_refused() {
    let refused = |members: usize| Condition::all_of((0..members).map(|_| bad())).map_err(|error| error.to_string());
    assert_eq!(refused(0).unwrap_err(), "number of conditions is 1, expected 2 to 16, compositions included");
    assert!(refused(CONDITIONS_MAX - 1).is_ok() && refused(CONDITIONS_MAX).is_err());
    let deep = (0..CONDITIONS_MAX).try_fold(bad(), |member, _| Condition::any_of([member]));
    assert!(deep.is_err(), "depth counts too");
}
