//! Claims about the horizon's page: what it says in words, and that its chart fits.

use super::chart::Chart;
use super::{line, text};
use backsight_proto::admin::{Horizon, HorizonReport, HorizonSample};
use expect_test::expect;
use proptest::prelude::{any, prop, prop_assert, proptest};
use unicode_width::UnicodeWidthStr;

fn report(predicted_ms: &[u64]) -> HorizonReport {
    let horizon = |predicted_ms| Horizon { predicted_ms: Some(predicted_ms), target_ms: 10_000, ..Horizon::default() };
    let sample = |(n, ms): (u64, &u64)| HorizonSample { unix_ms: 1_000 * n, horizon: horizon(*ms) };
    let now = Horizon { horizon_ms: Some(9_000), bytes_per_s: 64 << 20, ..horizon(*predicted_ms.last().unwrap()) };
    HorizonReport { now, history: (0..).zip(predicted_ms).map(sample).collect() }
}

#[test]
fn a_dip_below_the_target_is_seen() {
    let course: Vec<u64> = (0..40).map(|n: u64| 4_000 + 26_000 * n.abs_diff(20) / 20).collect();
    expect![[r#"
        9.00 s, predicted 28.7 s, target 10.0 s
        written 64 MiB a second, averaged over ten

        predicted horizon
        30.0 s ┤█▅▂                                   ▂▅
               ┤███▇▄▂                             ▂▄▇██
               ┤██████▇▄▁                       ▁▄▇█████
               ┤█████████▇▄▁                 ▁▄▇████████
               ┤████████████▆▃▁           ▁▃▆███████████
        10.0 s ┤███████████████▆▃┄┄┄┄┄┄┄▃▆██████████████
               ┤██████████████████▆▃ ▃▆█████████████████
          0 ns ┤████████████████████████████████████████
               39.0 s ago                            now
    "#]]
    .assert_eq(&text(&report(&course), 60));
}

#[test]
fn what_is_left_out_is_said() {
    let horizon = Horizon { predicted_ms: Some(9_000), target_ms: 10_000, ..Horizon::default() };
    assert_eq!(line(&horizon), "nothing overwritten yet, predicted 9.00 s, target 10.0 s; below target");
    let horizon = Horizon { shed_permille: [0, 25, 1000], ..horizon };
    let said = line(&horizon);
    assert!(said.ends_with("; left out: verbose detail of 100 %, debug detail of 2.5 % of the traces"), "{said}");
}

proptest! {
    /// For every course and width, no line of the chart is wider than there is room, and nothing panics.
    #[test]
    fn the_chart_fits(values in prop::collection::vec(any::<Option<u64>>(), 0..700), mark in 1_u64..1_000_000, width in 0_usize..200) {
        let chart = Chart { values: &values, mark, span_ms: 1_000 * values.len() as u64 };
        if let Some(drawn) = chart.draw(width) {
            prop_assert!(drawn.lines().all(|line| line.width() <= width.max(40)), "{}", drawn);
        }
    }
}
