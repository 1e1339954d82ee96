//! Claims about detail levels and traces that are not recorded, as an agent finds them: what is left out, what says so, what still works.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;

use agent::{AGENT, Agent, Options};
use backsight_client::{
    Connection, Context, Level, Others, SegmentExt, TriggerId, Value, attr, attr_at, begin, event, event_at, exception,
    inject, named_at, raw, raw_at, response_crumb, span, stats, status, trigger,
};
use backsight_core::context::{ResponseCrumb, TraceParent, TraceState, TrailFlags};
use backsight_core::ids::AgentId;
use backsight_core::record::{StatusCode, seg_flags};
use backsight_core::telemetry::DropReason;
use backsight_core::trace::{Malformed, Notes};
use backsight_ringbuf::region::Shed;
use backsight_ringbuf::ring::Signal;
use std::pin::pin;
use std::task::{self, Poll, Waker};

/// Thresholds under which every trace loses the levels from `lowest` on.
fn from(lowest: Level) -> Shed {
    let detail = [Level::Normal, Level::Debug, Level::Verbose].map(|level| if level >= lowest { u64::MAX } else { 0 });
    Shed { record: 0, detail }
}

/// Records a span with an event, an attribute, a payload and a named payload of each level, and returns its notes and the segment's flags.
fn record_all(agent: &Agent) -> (Notes, u32) {
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        let _span = span("work");
        for level in Level::ALL {
            event_at(level, "event", "");
            attr_at(level, ["a", "b", "c", "d"][level as usize], i64::from(level as u8));
            attr_at(level, "text", "x");
            raw_at(level, &[level as u8]);
            named_at(level, "named", &[level as u8]);
        }
        status(StatusCode::Error, "why");
    }
    let trace = agent.trace(context.trace);
    assert_eq!((trace.malformed, trace.losses.len()), (Malformed::default(), 0), "{trace:#?}");
    let [span] = &trace.spans[..] else { panic!("{trace:#?}") };
    assert!(span.end_ns.is_some() && span.status == StatusCode::Error && &*span.status_text == "why");
    let payloads = trace.visits.iter().flat_map(|visit| visit.notes.payloads.clone()).collect::<Vec<_>>();
    let mut notes = span.notes.clone();
    notes.payloads.extend(payloads);
    let [flags] = agent.segment_flags(context.trace)[..] else { panic!("one segment") };
    (notes, flags)
}

#[test]
fn levels_are_left_out_from_the_highest_down_and_the_segment_says_so() {
    let agent = Agent::start_joined(Options::default());
    let (notes, flags) = record_all(&agent);
    assert_eq!((notes.events.len(), notes.attributes.len(), notes.payloads.len()), (4, 5, 8), "{notes:#?}");
    assert_eq!(Level::left_out(flags), None);
    for (lowest, n) in [(Level::Verbose, 3), (Level::Debug, 2), (Level::Normal, 1)] {
        agent.shed(from(lowest));
        let (notes, flags) = record_all(&agent);
        assert_eq!((notes.events.len(), notes.attributes.len(), notes.payloads.len()), (n, n + 1, 2 * n), "{notes:#?}");
        assert_eq!(Level::left_out(flags), Some(lowest));
    }
    agent.shed(Shed::default());
    assert_eq!(Level::left_out(record_all(&agent).1), None);
    assert_eq!(agent.n_corrupt(), 0);
    assert!(stats().drops.iter().all(|(_, n)| *n == 0), "{:?}", stats());
}

#[test]
fn what_says_no_level_is_normal_and_what_went_wrong_is_always_recorded() {
    let agent = Agent::start_joined(Options::default());
    agent.shed(from(Level::Normal));
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        let _span = span("work");
        event("left out", "");
        attr("left.out", Value::Bool(true));
        raw(b"left out");
        exception("Panic", "boom");
    }
    let trace = agent.trace(context.trace);
    let notes = &trace.spans[0].notes;
    assert_eq!((notes.events.len(), &*notes.events[0].name), (1, "exception"), "{trace:#?}");
    assert!(notes.attributes.is_empty() && notes.payloads.is_empty());
}

#[test]
fn future_whose_polls_are_left_out_costs_one_segment_that_says_so() {
    let agent = Agent::start_joined(Options::default());
    agent.shed(from(Level::Verbose));
    let context = Context::new_trace();
    let mut n_polls = 0;
    let work = std::future::poll_fn(move |_| {
        event_at(Level::Verbose, "poll", "");
        n_polls += 1;
        if n_polls < 5 { Poll::Pending } else { Poll::Ready(()) }
    });
    let mut work = pin!(work.in_segment(context));
    while work.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending() {
        drop(begin(&Context::new_trace())); // so that the polls do not simply go on
    }
    let flags: Vec<_> = agent.segment_flags(context.trace).into_iter().map(Level::left_out).collect();
    assert_eq!(flags, [Some(Level::Verbose)]);
}

/// What was left out of one segment of a visit is not told again of the next, which goes on with a copy of its context.
#[test]
fn segment_that_begins_anew_says_only_what_it_lacks_itself() {
    let agent = Agent::start_joined(Options::default());
    agent.shed(from(Level::Verbose));
    let context = Context::new_trace();
    let segment = begin(&context);
    event_at(Level::Verbose, "left out", "");
    let current = Context::current().unwrap();
    drop(segment);
    agent.shed(Shed::default());
    drop(begin(&current));
    let mut flags = agent.segment_flags(context.trace);
    flags.sort_unstable();
    assert_eq!(flags.into_iter().map(Level::left_out).collect::<Vec<_>>(), [None, Some(Level::Verbose)]);
}

#[test]
fn trace_that_is_not_recorded_travels_on_and_can_be_triggered() {
    let agent = Agent::start_joined(Options::default());
    agent.shed(Shed { record: u64::MAX, ..Shed::default() });
    let context = Context::new_trace();
    static PEER: Connection = Connection::new();
    let segment = begin(&context);
    let calling = span("call");
    event_at(Level::Always, "nowhere", "");
    let outgoing = inject(&context, Others::NONE, &PEER);
    let parent = TraceParent::parse(outgoing.traceparent().as_bytes()).unwrap();
    assert_eq!((parent.trace, parent.span), (context.trace, calling.id()));
    let trail = TraceState::parse(outgoing.tracestate().as_bytes()).trail.unwrap();
    assert_eq!((trail.crumbs()[0], trail.flags.has(TrailFlags::RECORDED)), (AGENT, false));
    outgoing.call.answered(
        Some(ResponseCrumb { agent: AgentId(9), ..ResponseCrumb::default() }.format().as_str().as_bytes()),
        &PEER,
    );
    assert_eq!(PEER.agent(), AgentId(9));
    assert!(response_crumb().is_some());
    assert_eq!(agent.take_signals(), [], "nobody asks for the crumbs of what did not fire");
    assert!(trigger(TriggerId::MANUAL));
    drop((calling, segment));
    let signals = agent.take_signals();
    assert!(matches!(signals[..], [Signal::Trigger { trace, .. }] if trace == context.trace), "{signals:?}");
    assert_eq!(agent.segment_flags(context.trace), []);
    assert_eq!(agent.dropped(DropReason::Priority), 1, "counted once for the visit");

    agent.shed(Shed::default());
    drop(begin(&context));
    assert_eq!(agent.segment_flags(context.trace), [seg_flags::RANDOM_ID]);
}
