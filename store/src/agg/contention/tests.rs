//! Claims about contention: counts are those of brute force, however tasks are spread and merged.

use super::super::tests::HOUR;
use super::{Contention, Diff, Hour, INTERVALS_MAX, SecondSums, Task};
use crate::agg::{Aggregates, Arrival, HOUR_NS, Population, View, Window};
use crate::rows::SpanRow;
use proptest::collection::vec;
use proptest::prelude::*;
use std::borrow::Cow;

const START_NS: i64 = HOUR * HOUR_NS;
const START_MS: i64 = HOUR * 3_600_000;

/// Tasks around the end of an hour: of no length, at the edges of milliseconds and seconds, longer than a second, than 64 of them, than an hour.
fn task() -> impl Strategy<Value = (i64, i64)> {
    let edge = prop::sample::select(vec![0_i64, 1, 999_999, 1_000_000, 999_000_000, 999_999_999, 1_000_000_000]);
    let duration = prop_oneof![
        edge.clone(),
        0..3_000_000_i64,
        0..2_500_000_000_i64,
        63_990_000_000..64_010_000_000_i64,
        (0..70_i64).prop_map(|s| s * 1_000_000_000),
        Just(HOUR_NS + 5),
    ];
    let start = (-70_i64..10, edge).prop_map(|(s, edge)| s * 1_000_000_000 + edge);
    (prop_oneof![start, -3_000_000_000..3_000_000_000_i64], duration)
}

fn span((start, duration_ns): (i64, i64), process: u8) -> SpanRow<'static> {
    let process = Cow::Borrowed(["a", "b"][usize::from(process % 2)]);
    SpanRow { start_ns: START_NS + start, duration_ns, process, ..SpanRow::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// For all sets of tasks, spread over aggregates that are merged in any order: each millisecond of a process counts the tasks that run in it.
    #[test]
    fn counts_are_those_of_brute_force(
        tasks in vec((task(), any::<u8>(), 0..3_usize), 0..200),
        from_ms in -4000..3000_i64,
        order in Just(vec![0_usize, 1, 2]).prop_shuffle(),
    ) {
        let arrival = Arrival { population: Population::Ordinary, ingest_ns: START_NS + HOUR_NS };
        let mut shards = [Aggregates::default(), Aggregates::default(), Aggregates::default()];
        for (task, process, shard) in &tasks {
            shards[*shard].add_span(&span(*task, *process), arrival);
        }
        let mut merged = Aggregates::default();
        order.iter().for_each(|shard| merged.merge(&shards[*shard].take()));
        let range_ms = START_MS + from_ms..START_MS + from_ms + 3000;
        let window = Window::new(Population::Ordinary, START_NS - 2 * HOUR_NS, START_NS + 2 * HOUR_NS)
            .with_process("a", range_ms.clone());
        let mut view = View::new(&window);
        merged.rows_of(&window).for_each(|row| view.add(&row));
        let context = view.context(&[]);
        let of_process = tasks.iter().filter(|(_, process, _)| process % 2 == 0);
        let busy: Vec<Task> = of_process.map(|(task, ..)| Task::of(&span(*task, 0))).collect();
        let mut changes = vec![0_i64; 3001];
        for task in busy {
            // Difference by difference would be the same code: count each millisecond.
            for ms in task.first_ms.max(range_ms.start)..=task.last_ms.min(range_ms.end - 1) {
                changes[(ms - range_ms.start) as usize] += 1;
            }
        }
        let want: Vec<u64> = changes[..3000].iter().map(|n| n.cast_unsigned()).collect();
        prop_assert_eq!(context.contention.len(), 1);
        prop_assert_eq!(&context.contention[0].counts, &want);
    }
}

#[test]
fn a_task_takes_the_milliseconds_that_it_touches() {
    let task = |start_ns, duration_ns| {
        let Task { first_ms, last_ms } = Task::of(&SpanRow { start_ns, duration_ns, ..SpanRow::default() });
        (first_ms, last_ms)
    };
    assert_eq!(task(0, 0), (0, 0));
    assert_eq!(task(999_999, 1), (0, 0));
    assert_eq!(task(999_999, 2), (0, 1));
    assert_eq!(task(1_000_000, 1_000_000), (1, 1));
    assert_eq!(task(-1, 1), (-1, -1));
    assert_eq!(task(5_000_000, -9), (5, 5));
    assert_eq!(task(i64::MAX, i64::MAX).0, i64::MAX / 1_000_000);
}

#[test]
fn the_peak_of_a_second_is_its_busiest_millisecond() {
    let diffs = vec![Diff { ms: 3, by: 4 }, Diff { ms: 5, by: -6 }, Diff { ms: 900, by: 1 }];
    assert_eq!(SecondSums { carry_in: 2, diffs }.peak(), 6);
    assert_eq!(SecondSums { carry_in: 2, diffs: vec![Diff { ms: 1, by: -2 }] }.peak(), 2);
    assert_eq!(SecondSums::default().peak(), 0);
}

#[test]
fn of_too_many_long_tasks_the_longest_stay_and_the_others_are_counted() {
    let mut contention = Contention::default();
    let n_tasks = 3 * INTERVALS_MAX as i64;
    for n in 0..n_tasks {
        let first_ms = START_MS + n % 1000;
        contention.add_task("a", Task { first_ms, last_ms: first_ms + 70_000 + n }, Hour::At(HOUR));
    }
    contention.shrink(10);
    let (name, sums) = contention.process_sums(0).unwrap();
    assert_eq!((name, sums.n_tasks, sums.intervals.len()), ("a", n_tasks as u64, INTERVALS_MAX));
    assert_eq!(sums.n_intervals_other, n_tasks as u64 - INTERVALS_MAX as u64);
    assert!(sums.intervals.iter().all(|(task, _)| task.len_ms() > 70_000 + 2 * INTERVALS_MAX as u64));
}
