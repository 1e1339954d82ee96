//! The agents of `rec-traverse` against a collector: what is timed there must be followed to its end.

use backsight_tests::traverse::{Load, past_dead, path::Shape, timed};
use std::time::Duration;

const fn load(shape: Shape) -> Load {
    Load { n_agents: 7, shape, triggers_per_s: 500.0, duration: Duration::from_millis(100), link: None }
}

#[test]
fn every_trigger_reaches_all_agents_along_chains_and_fans() {
    for shape in [Shape::Chain { n_crumbs: 1 }, Shape::Chain { n_crumbs: 3 }, Shape::FanOut] {
        let sample = timed(&load(shape), 1).unwrap();
        assert_eq!(sample.n_unfinished, 0.0, "{shape}: {sample:?}");
        assert!(0.0 < sample.p50_ms && sample.p50_ms <= sample.p99_ms, "{shape}: {sample:?}");
    }
}

#[test]
fn three_crumbs_lead_past_a_dead_agent_from_either_side_and_one_does_not() {
    for (n_crumbs, reached) in [(3, 1.0), (1, 0.0)] {
        let past = past_dead(&load(Shape::Chain { n_crumbs }), 1).unwrap();
        assert_eq!([past.fired_after, past.fired_before], [reached; 2]);
    }
}
