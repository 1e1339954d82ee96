//! Tests of the model: a faulty one would be no peer.

use super::{LabelMap, TriggerSet, Window};
use crate::autotrigger::input::Values;
use backsight::TraceId;

/// The window's top is what sorting the last values says.
#[test]
fn window_tells_the_top_of_the_last_values() {
    let (mut window, values) = (Window::new(0.9), Values::new(1, 0.0));
    for n in 0..1000 {
        let is_top = |n: usize| {
            let mut last: Vec<u64> = (n.saturating_sub(window.n_values_max)..n).map(|idx| values.at(idx)).collect();
            last.sort_unstable();
            let n_top = (last.len() as f64 * 0.1).round() as usize;
            n >= 10
                && last
                    .len()
                    .checked_sub(n_top)
                    .and_then(|idx| last.get(idx))
                    .is_some_and(|least| values.at(n) >= *least)
        };
        let expected = is_top(n);
        assert_eq!(window.sample(values.at(n)), expected, "value {n}");
    }
}

#[test]
fn window_fires_at_the_rate_asked_for() {
    let (mut window, values) = (Window::new(0.99), Values::new(2, 0.0));
    let n_fired = (0..200_000).filter(|idx| window.sample(values.at(*idx))).count();
    assert!((1700..2300).contains(&n_fired), "{n_fired}");
}

#[test]
fn map_and_set_fire_for_what_is_rare_and_take_the_last_along() {
    let mut map = LabelMap::new(0.01);
    let n_fired = (0..1000).filter(|n| map.sample(if n % 500 == 499 { "rare" } else { "common" })).count();
    assert_eq!(n_fired, 2);
    let mut set = TriggerSet::new(0.9, 2);
    (1..100).for_each(|n| drop(set.sample(TraceId::new(0, n), 100 - n)));
    assert_eq!(set.sample(TraceId::new(0, 100), 1000), Some(vec![TraceId::new(0, 98), TraceId::new(0, 99)]));
}
