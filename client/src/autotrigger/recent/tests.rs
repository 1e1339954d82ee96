//! Tests of the ring of traces against a list, and with threads.

use super::Recent;
use backsight_core::ids::TraceId;
use proptest::prelude::{any, prop_assert_eq, proptest};

/// Returns trace number `n`; 0 is none. The halves of traces differ in few bits, as those of sloppy generators do.
fn trace(n: u64) -> TraceId {
    TraceId::new(n / 3, n)
}

/// What a ring of `n_places` tells after `pushed`: the model.
fn expected(pushed: &[TraceId], n_places: usize, n_wanted: usize, except: TraceId) -> Vec<TraceId> {
    let mut kept: Vec<TraceId> = pushed.iter().copied().filter(|trace| !trace.is_none()).collect();
    kept.dedup();
    let mut found: Vec<TraceId> = Vec::new();
    for trace in kept.into_iter().rev().take(n_places) {
        if trace != except && !found.contains(&trace) && found.len() < n_wanted {
            found.push(trace);
        }
    }
    found
}

fn found(recent: &Recent, n_wanted: usize, except: TraceId) -> Vec<TraceId> {
    let mut out = vec![TraceId::NONE; n_wanted];
    let n_found = recent.copy_to(&mut out, except);
    out.truncate(n_found);
    out
}

proptest! {
    /// For every sequence of traces, repetitions and none among them, every number wanted and every trace left out: the ring tells what a list
    /// of the traces tells.
    #[test]
    fn ring_tells_what_a_list_tells(
        pushed in proptest::collection::vec(0_u64..40, 0..300),
        n_traces in 1_usize..=32,
        n_wanted in 0_usize..=32,
        except in 0_u64..40,
    ) {
        let recent = Recent::new(n_traces);
        let pushed: Vec<TraceId> = pushed.into_iter().map(trace).collect();
        pushed.iter().for_each(|trace| recent.push(*trace));
        let n_places = 4 * n_traces.next_power_of_two();
        prop_assert_eq!(found(&recent, n_wanted, trace(except)), expected(&pushed, n_places, n_wanted, trace(except)));
    }

    /// For all distinct traces: as many as were asked for when the ring was made are found, the last first.
    #[test]
    fn last_traces_are_all_there(n_traces in 1_usize..=32, n_pushed in 32_u64..1000, hi in any::<u64>()) {
        let recent = Recent::new(n_traces);
        (1..=n_pushed).for_each(|n| recent.push(TraceId::new(hi, n)));
        let last: Vec<TraceId> = (1..=n_pushed).rev().take(n_traces).map(|n| TraceId::new(hi, n)).collect();
        prop_assert_eq!(found(&recent, n_traces, TraceId::NONE), last);
    }
}

/// Threads push traces whose halves belong together while others read: no trace is found that nobody pushed, and none twice.
#[test]
fn threads_never_find_a_trace_that_was_not_pushed() {
    const N: u64 = 50_000;
    let whole = |n: u64| TraceId::new(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n);
    let recent = Recent::with_places(4); // so few that writers meet
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let recent = &recent;
            scope.spawn(move || (0..N).for_each(|n| recent.push(whole(thread * N + n + 1))));
        }
        for _ in 0..N {
            let seen = found(&recent, 4, TraceId::NONE);
            assert!(seen.iter().all(|trace| *trace == whole(trace.lo) && trace.lo <= 3 * N), "{seen:?}");
            let numbers: std::collections::BTreeSet<u64> = seen.iter().map(|trace| trace.lo).collect();
            assert_eq!(numbers.len(), seen.len(), "{seen:?}");
        }
    });
    assert!(!found(&recent, 4, TraceId::NONE).is_empty());
}
