//! Tests of the windows against a list of all events, and with threads.

use super::{Outcome, PENDING_MAX, Seen, Spans, Window, Windows};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use std::cell::Cell;
use std::time::Duration;

const SLOT_NS: u64 = 10;
const N_SHORT: u64 = 3;
const N_LONG: u64 = 7;

/// One event: how long after the one before, and how it ended.
fn events() -> impl Strategy<Value = Vec<(u64, bool)>> {
    let gap = proptest::prop_oneof![8 => 0_u64..4, 4 => 5_u64..30, 1 => 60_u64..200];
    proptest::collection::vec((gap, any::<bool>()), 1..200)
}

/// What one window of `n_slots` full slots holds of `seen`, by definition.
fn window(seen: &[(u64, bool)], n_slots: u64, now_ns: u64) -> Window {
    let first = (now_ns / SLOT_NS).saturating_sub(n_slots);
    let inside: Vec<_> = seen.iter().filter(|(at, _)| at / SLOT_NS >= first).collect();
    Window {
        n_all: inside.len() as u64,
        n_bad: inside.iter().filter(|(_, is_bad)| *is_bad).count() as u64,
        covers_ns: n_slots * SLOT_NS + now_ns % SLOT_NS,
    }
}

proptest! {
    /// For every sequence of events in one thread: what is decided by is what a list of the events says of both windows, each time a slot
    /// begins and each time 16 events are pending, and only then.
    #[test]
    fn windows_hold_what_a_list_of_events_says(events in events(), start_ns in 0_u64..1000) {
        let windows = Windows::with_slots(SLOT_NS, [N_SHORT, N_LONG]);
        let (mut now_ns, mut n_pending, mut slot, mut seen) = (start_ns, 0, None, Vec::new());
        for (gap, is_bad) in events {
            now_ns += gap;
            seen.push((now_ns, is_bad));
            let told = Cell::new(None);
            let outcome = if is_bad { Outcome::Bad } else { Outcome::Good };
            windows.count(outcome, 5, now_ns, |seen: Seen| { told.set(Some(seen)); true });
            let is_new = slot.replace(now_ns / SLOT_NS) != Some(now_ns / SLOT_NS);
            n_pending = if is_new { 0 } else { n_pending + 1 };
            let is_due = is_new || n_pending == PENDING_MAX;
            n_pending %= PENDING_MAX;
            let expected = Seen { short: window(&seen, N_SHORT, now_ns), long: window(&seen, N_LONG, now_ns) };
            prop_assert_eq!(told.get(), is_due.then_some(expected));
        }
    }

    /// Whatever the spans: they are refused, or the long window is at least as long as asked for, and less than a slot longer.
    #[test]
    fn spans_are_kept_or_refused(short_ms in 0_u64..1_000_000, long_ms in 0_u64..40_000_000) {
        let spans = Spans { short: Duration::from_millis(short_ms), long: Duration::from_millis(long_ms) };
        let is_fit = (100..=600_000).contains(&short_ms) && (short_ms..=60 * short_ms).contains(&long_ms);
        let windows = Windows::new(spans);
        prop_assert_eq!(windows.is_some(), is_fit);
        if let Some(windows) = windows {
            let covers_ns = (windows.slots.len() as u64 - 1) * windows.slot_ns;
            prop_assert!((long_ms * 1_000_000..long_ms * 1_000_000 + windows.slot_ns).contains(&covers_ns));
        }
    }
}

/// A thread whose clock is behind counts in the slot under way, and moves nothing back.
#[test]
fn event_from_an_earlier_slot_counts_now() {
    let windows = Windows::with_slots(SLOT_NS, [N_SHORT, N_LONG]);
    let told = Cell::new((0, 0));
    let tell = |seen: Seen| {
        told.set((seen.short.n_all, seen.long.n_all));
        true
    };
    windows.count(Outcome::Good, 0, 1000, tell);
    for _ in 0..PENDING_MAX {
        windows.count(Outcome::Good, 0, 900, tell);
    }
    assert_eq!(told.get(), (1 + PENDING_MAX, 1 + PENDING_MAX));
}

/// Threads count at once over many slots: after them, every event is there.
#[test]
fn threads_lose_no_event() {
    const N: u64 = 20_000;
    let windows = Windows::with_slots(SLOT_NS, [N_SHORT, 60 * N_SHORT]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let windows = &windows;
            scope.spawn(move || {
                for i in 0..N {
                    let outcome = if i % 4 == 0 { Outcome::Bad } else { Outcome::Good };
                    windows.count(outcome, thread, i * 100 * SLOT_NS / N, |_| false);
                }
            });
        }
    });
    let all = |seen: Seen| (seen.long.n_all, seen.long.n_bad) == (4 * N + 1, N);
    assert!(windows.count(Outcome::Good, 0, 101 * SLOT_NS, all));
}
