//! Claims about turns: triggers share by bytes, and no order of arrival changes whose trace goes first.

use super::super::super::Why;
use super::{Place, Queues};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::units::Nanos;
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeMap;

fn place(trigger: u32, n: u64) -> Place {
    let (trigger, base) = (TriggerId(trigger), TraceId::new(1, n));
    let priority = Priority::of(base, 0, Salt::of_trigger(trigger));
    Place::new(&Why { trigger, fired: Nanos(0), fired_ns: 0, base, priority }, base)
}

/// Serves once, `bytes` of whatever is next; returns its trigger and the bytes.
fn serve(queues: &mut Queues, bytes: impl Fn(TriggerId) -> u64) -> Option<(TriggerId, u64)> {
    let place = queues.next()?;
    let bytes = bytes(place.trigger);
    queues.charge(&place, bytes);
    queues.remove(&place);
    Some((place.trigger, bytes))
}

proptest! {
    /// For every set of triggers that all have enough to send, each is sent bytes by its weight, but for one trace of each.
    #[test]
    fn triggers_are_sent_bytes_by_their_weights(
        sizes in prop::collection::vec(1_u64..100_000, 2..6),
        weights in prop::collection::vec(1_u64..5, 6),
    ) {
        let mut queues = Queues::new();
        queues.set_weights((0_u32..).map(TriggerId).zip(weights.iter().copied()).collect());
        let largest = sizes.iter().copied().max().unwrap_or(0);
        for trigger in 0..sizes.len() as u32 {
            (0..500).for_each(|n| queues.insert(place(trigger, n)));
        }
        let mut sent: BTreeMap<TriggerId, u64> = (0..sizes.len() as u32).map(|trigger| (TriggerId(trigger), 0)).collect();
        // Fewer than any of them has, however small its traces are.
        for _ in 0..499 {
            let (trigger, bytes) = serve(&mut queues, |trigger| sizes[trigger.0 as usize]).unwrap_or_default();
            *sent.entry(trigger).or_default() += bytes;
        }
        sent.iter_mut().for_each(|(trigger, bytes)| *bytes /= weights[trigger.0 as usize]);
        let (least, most) = (sent.values().min(), sent.values().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 2 * largest), "{:?}", sent);
    }

    /// For every order in which traces come, one trigger's leave by falling priority.
    #[test]
    fn the_highest_priority_goes_first(traces in prop::collection::btree_set(0_u64..10_000, 1..60), seed in 0_u64..1_000) {
        let mut shuffled: Vec<u64> = traces.into_iter().collect();
        shuffled.sort_by_key(|n| n.wrapping_mul(2 * seed + 1) % 10_007);
        let mut queues = Queues::new();
        shuffled.iter().for_each(|n| queues.insert(place(7, *n)));
        let mut priorities = Vec::new();
        while let Some(place) = queues.next() {
            priorities.push(place.priority.0);
            prop_assert!(queues.remove(&place));
        }
        prop_assert!(queues.is_empty() && priorities.is_sorted_by(|a, b| a >= b));
        prop_assert_eq!(priorities.len(), shuffled.len());
    }
}

#[test]
fn a_trigger_that_was_silent_has_saved_nothing_and_one_with_one_trace_at_a_time_gets_its_share() {
    let mut queues = Queues::new();
    (0..2_000).for_each(|n| queues.insert(place(1, n)));
    for _ in 0..500 {
        serve(&mut queues, |_| 10);
    }
    let mut sent = [0_u64; 3];
    for n in 0..400 {
        // Large traces, each of which comes when the one before it has been sent.
        if queues.by_trigger.get(&TriggerId(2)).is_none_or(|queue| queue.waiting.is_empty()) {
            queues.insert(place(2, n));
        }
        let (trigger, bytes) = serve(&mut queues, |trigger| if trigger.0 == 2 { 100 } else { 10 }).unwrap_or_default();
        sent[trigger.0 as usize] += bytes;
    }
    assert!(sent[1].abs_diff(sent[2]) <= 200, "{sent:?}");
}
