//! What is left of data that was overwritten: where its request came from and went, and the traces that still go on.

use crate::client::{Client, Thread};
use crate::collector::{Collector, Conduct};
use crate::harness::{Agent, eventually};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
use backsight_core::record::SpanKind;
use backsight_ringbuf::writer::{Carried, SegmentStart};

const SMALL_POOL: &str = "[pool]\nbudget_bytes = 8388608\n";

fn trace(n: u64) -> TraceId {
    TraceId::new(0xaf, n)
}

/// One visit that came from agent `from`.
fn visit_from(thread: &mut Thread<'_>, of: TraceId, from: u32) -> bool {
    let carried = Carried { from_agent: AgentId(from), ..Carried::default() };
    let start = SegmentStart { trace: of, parent_span: SpanId(50), carried, ..SegmentStart::default() };
    let now = thread.client.clock.ticks();
    let recorded = thread.writer.begin(start, now) && thread.start_span(60, "visit", SpanKind::Server);
    thread.end_span(60);
    thread.end();
    thread.client.ring();
    recorded
}

/// Writes visits of other traces until chunks are overwritten, and `n_more` beyond.
fn overwrite(agent: &Agent, thread: &mut Thread<'_>, n_more: u64) {
    let evicted = || agent.metric("backsight_agent_evicted_chunks_total").unwrap_or(0);
    let before = evicted();
    for n in 0..200_000 {
        eventually("the visit is recorded", || thread.visit(trace(1 << 20 | n), "other", &[7; 1000]).then_some(()));
        if n % 100 == 0 && evicted() > before + n_more {
            return;
        }
    }
    panic!("nothing was overwritten");
}

fn announced(collector: &Collector, of: TraceId) -> Holding {
    eventually("it is announced", || collector.holding(of))
}

#[test]
fn a_trigger_that_comes_too_late_says_so_and_leads_on() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&format!("{SMALL_POOL}{}", collector.config()));
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    assert!(visit_from(&mut thread, trace(1), 5));
    overwrite(&agent, &mut thread, 10);
    thread.fire(TriggerId::MANUAL, trace(1), &[]);
    let holding = announced(&collector, trace(1));
    assert_eq!((holding.state, holding.n_evicted), (HoldingState::Evicted, 1));
    assert_eq!(holding.crumbs.iter().map(|crumb| crumb.agent).collect::<Vec<_>>(), [AgentId(5)]);
    thread.fire(TriggerId::MANUAL, trace(2), &[]);
    let holding = announced(&collector, trace(2));
    assert_eq!(
        (holding.state, holding.n_evicted),
        (HoldingState::NeverSeen, 0),
        "the host remembers that it was not there"
    );
    assert!(holding.remembers_since_ns > 0);
}

#[test]
fn what_was_overwritten_of_a_kept_trace_is_counted() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&format!("{SMALL_POOL}{}", collector.config()));
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    assert!(visit_from(&mut thread, trace(1), 5));
    overwrite(&agent, &mut thread, 10);
    eventually("the visit is recorded", || visit_from(&mut thread, trace(1), 6).then_some(()));
    thread.fire(TriggerId::MANUAL, trace(1), &[]);
    let holding = announced(&collector, trace(1));
    assert_eq!((holding.state, holding.n_segments, holding.n_evicted), (HoldingState::Kept, 1, 1));
    assert_eq!(holding.crumbs.iter().map(|crumb| crumb.agent.0).collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn segments_of_a_request_that_goes_on_are_carried_over() {
    let agent = Agent::start(SMALL_POOL);
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    let mut n_begun = 0;
    for round in 0..60 {
        eventually("the visit is recorded", || {
            n_begun += 1; // one that finds no chunk half-way has its segment, too
            visit_from(&mut thread, trace(1), 5).then_some(())
        });
        for n in 0..200 {
            eventually("the visit is recorded", || {
                thread.visit(trace(1 << 20 | round << 10 | n), "other", &[7; 1000]).then_some(())
            });
        }
    }
    assert!(agent.metric("backsight_agent_evicted_chunks_total").unwrap() > 0);
    assert!(agent.metric("backsight_agent_carried_segments_total").unwrap() > 0);
    let body = serde_json::json!({"trace": trace(1).to_string(), "trigger": "cli"});
    let (_, fired) = agent.post("/v1/triggers/fire", &body);
    assert!((60..=n_begun).contains(&fired["n_segments"].as_u64().unwrap()), "{fired}, of {n_begun}");
}
