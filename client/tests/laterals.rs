//! Claims about what autotriggers say to the agent: for which trace they fire, and which traces they take along.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;

use agent::{Agent, Options};
use backsight_client::autotrigger::{Burn, Burning, Condition, Outcome, Queue, Rate, Sample, Set, Spans};
use backsight_client::{Context, SpanId, TraceId, begin};
use backsight_core::ids::TriggerId;
use backsight_ringbuf::ring::Signal;
use std::time::Duration;

fn trace(n: u64) -> TraceId {
    TraceId::new(5, n)
}

/// Returns what fired `trigger`: the trace, and those that it took along.
fn fired(agent: &Agent, trigger: TriggerId) -> Vec<(TraceId, Vec<TraceId>)> {
    let signals = agent.look(|sessions| sessions[0].signals.clone());
    let of_trigger = |signal| match signal {
        Signal::Trigger { trigger: which, trace, laterals, .. } if which == trigger => Some((trace, laterals)),
        _ => None,
    };
    signals.into_iter().filter_map(of_trigger).collect()
}

fn bad() -> Sample<'static> {
    Sample { outcome: Outcome::Bad, ..Sample::default() }
}

#[test]
fn set_takes_the_traces_along_that_were_tested_last() {
    let agent = Agent::start_joined(Options::default());
    let set = Set::new("bad", Condition::bad(), 3).unwrap();
    for n in 1..=5 {
        let _segment = begin(&Context::of(trace(n), SpanId::NONE));
        assert!(!set.sample(&Sample::default()));
        assert!(!set.sample(&Sample::default()), "and once more: a trace counts once");
    }
    assert!(!set.sample(&Sample::default()), "no trace is nobody's lateral");
    {
        let _segment = begin(&Context::of(trace(6), SpanId::NONE));
        assert!(set.sample(&bad()));
        assert!(set.sample(&bad()), "its own trace is no lateral of it");
    }
    assert!(set.sample_for(trace(9), &bad()));
    assert!(set.sample(&bad()), "it holds, but there is no trace to fire for");
    let last = |numbers: [u64; 3]| numbers.map(trace).to_vec();
    let expected = [(trace(6), last([5, 4, 3])), (trace(6), last([5, 4, 3])), (trace(9), last([6, 5, 4]))];
    assert_eq!(fired(&agent, set.trigger_id()), expected);
}

#[test]
fn set_without_laterals_fires_for_its_trace_alone() {
    let agent = Agent::start_joined(Options::default());
    let set = Set::new("bad alone", Condition::bad(), 0).unwrap();
    set.sample_for(trace(1), &Sample::default());
    assert!(set.sample_for(trace(2), &bad()));
    assert_eq!(fired(&agent, set.trigger_id()), [(trace(2), vec![])]);
    assert!(Set::new("too many", Condition::bad(), 33).is_err());
}

#[test]
fn queue_takes_along_what_left_before_the_one_that_waited() {
    let agent = Agent::start_joined(Options::default());
    let queue = Queue::new("checkout queue", 0.99, 4).unwrap();
    (1..=2000).for_each(|n| assert!(!queue.sample_for(trace(n), 7)));
    let _segment = begin(&Context::of(trace(5000), SpanId::NONE));
    assert!(queue.sample(1_000_000));
    let laterals = [2000, 1999, 1998, 1997].map(trace).to_vec();
    assert_eq!(fired(&agent, queue.trigger_id()), [(trace(5000), laterals)]);
}

/// The clock is the machine's here; whatever it does meanwhile, 16 requests in a row are added up at their end at the latest.
#[test]
fn burn_fires_for_bad_requests_alone_and_rate_for_all() {
    let _agent = Agent::start_joined(Options::default());
    let burn = Burn::new("budget", Burning::of(0.001)).unwrap();
    let _segment = begin(&Context::of(trace(1), SpanId::NONE));
    assert!(!burn.sample(Outcome::Bad), "one is not many");
    assert!((0..40).filter(|_| burn.sample(Outcome::Bad)).count() >= 20);
    assert!(!burn.sample(Outcome::Good));
    let spans = Spans { short: Duration::from_secs(600), long: Duration::from_secs(600) };
    let (rate, never) = (Rate::new("often", 0.05, spans).unwrap(), Rate::new("never", 1e9, spans).unwrap());
    assert!((0..1000).filter(|_| rate.sample()).count() >= 900);
    assert!((0..1000).all(|_| !never.sample()));
    for refused in [Burning { factor: 0.5, ..Burning::of(0.1) }, Burning::of(0.5), Burning::of(f64::NAN)] {
        assert!(Burn::new("refused", refused).is_err(), "{refused:?}");
    }
    assert!(Rate::new("refused", 10.0, Spans { short: Duration::from_secs(601), ..spans }).is_err());
}
