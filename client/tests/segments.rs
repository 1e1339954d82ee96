//! Claims about segments and spans as the agent finds them: guards in any order, detached contexts, futures, losses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;

use agent::{Agent, Options};
use backsight_client::{
    Context, SegmentExt, Span, SpanId, SpanKind, TraceId, TriggerId, attach, begin, detach, event, raw, span, stats,
    trigger, trigger_for, trigger_with_laterals,
};
use backsight_core::clock::ClockSource;
use backsight_core::record::seg_flags;
use backsight_core::telemetry::DropReason;
use backsight_core::trace::Malformed;
use backsight_ringbuf::ring::Signal;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{self, Poll, Waker};

/// A future that is pending `n` times.
struct Pending(u32);

impl Future for Pending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<()> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut task::Context::from_waker(Waker::noop()))
}

#[test]
fn event_after_an_outer_span_ended_first_belongs_to_the_open_one() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        let outer = span("outer");
        let inner = span("inner");
        drop(outer);
        event("here", "");
        drop(span("under inner"));
        drop(inner);
    }
    let trace = agent.trace(context.trace);
    let under = trace.spans.iter().find(|span| &*span.name == "under inner").unwrap();
    let inner = trace.spans.iter().find(|span| &*span.name == "inner").unwrap();
    assert_eq!((inner.notes.events.len(), under.parent), (1, inner.id), "{trace:#?}");
    assert_eq!(trace.malformed, Malformed::default());
}

#[test]
fn span_that_drops_in_another_trace_writes_nothing_there_and_is_counted() {
    let agent = Agent::start_joined(Options::default());
    let (one, other) = (Context::new_trace(), Context::new_trace());
    let segment = begin(&one);
    let stray = span("stray");
    drop(segment);
    let segment = begin(&other);
    let own = span("own");
    drop(stray);
    event("here", "");
    drop(own);
    drop(segment);
    let trace = agent.trace(other.trace);
    assert_eq!((trace.spans.len(), trace.spans[0].notes.events.len()), (1, 1), "{trace:#?}");
    assert!(agent.trace(one.trace).spans[0].end_ns.is_none());
    assert!(stats().drops.contains(&(DropReason::NoTrace, 1)), "{:?}", stats());
}

#[test]
fn context_goes_on_on_another_thread() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let segment = begin(&context);
    let outer = span("outer");
    let detached = detach().unwrap();
    assert_eq!(Context::current(), None);
    std::thread::spawn(move || {
        let _segment = attach(&detached);
        let _inner = span("inner");
        drop(outer);
    })
    .join()
    .unwrap();
    drop(segment);
    let trace = agent.trace(context.trace);
    let of = |name| trace.spans.iter().find(|span| &*span.name == name).unwrap();
    assert_eq!(of("inner").parent, of("outer").id);
    assert!(of("outer").end_ns.is_some() && of("inner").end_ns.is_some());
    assert_eq!((trace.visits.len(), trace.malformed), (0, Malformed::default()), "{trace:#?}");
}

/// Flags that tell of one segment do not travel, whoever sets them in a context.
#[test]
fn flags_of_one_segment_do_not_travel() {
    let agent = Agent::start_joined(Options::default());
    let mut context = Context::new_trace();
    context.carried.flags = seg_flags::LOSS | seg_flags::CONTINUED | seg_flags::IMPLICIT_END;
    drop(begin(&context));
    assert!(agent.trace(context.trace).losses.is_empty());
}

#[test]
fn future_keeps_its_trace_over_two_threads() {
    let agent = Agent::start_joined(Options::default());
    let (context, other) = (Context::new_trace(), Context::new_trace());
    let work = async {
        let _span = span("work");
        Pending(2).await;
        event("after the await", "");
    };
    let mut work = Box::pin(work.in_segment(context));
    let segment = begin(&other);
    let own = span("own");
    assert_eq!(poll(work.as_mut()), Poll::Pending);
    assert_eq!(Context::current().map(|current| (current.trace, current.span)), Some((other.trace, own.id())));
    drop(own);
    drop(segment);
    let polled = std::thread::spawn(move || (poll(work.as_mut()), Context::current())).join().unwrap();
    assert_eq!(polled, (Poll::Ready(()), None));
    let trace = agent.trace(context.trace);
    assert_eq!((trace.spans.len(), trace.spans[0].notes.events.len()), (1, 1), "{trace:#?}");
    assert!(trace.spans[0].end_ns.is_some());
    assert_eq!(trace.malformed, Malformed::default());
    assert_eq!(agent.trace(other.trace).spans.len(), 1);
}

#[test]
fn futures_nest_and_restore_what_was_outside() {
    let agent = Agent::start_joined(Options::default());
    let (outer, inner) = (Context::new_trace(), Context::new_trace());
    let nested = async {
        event("before", "");
        async { event("inside", "") }.in_segment(inner).await;
        event("after", "");
    };
    assert_eq!(poll(pin!(nested.in_segment(outer))), Poll::Ready(()));
    let names = |trace: TraceId| {
        let trace = agent.trace(trace);
        let events = trace.visits.into_iter().flat_map(|visit| visit.notes.events);
        events.map(|event| event.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(outer.trace), names(inner.trace)),
        (vec!["before".into(), "after".into()], vec!["inside".into()])
    );
}

#[test]
fn poll_that_panics_gives_the_thread_its_own_trace_back() {
    let agent = Agent::start_joined(Options::default());
    let (own, context) = (Context::new_trace(), Context::new_trace());
    let segment = begin(&own);
    let work = async {
        let _span = span("work");
        panic!("on purpose");
    };
    let mut work = Box::pin(work.in_segment(context));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(work.as_mut())));
    assert!(caught.is_err());
    assert_eq!(Context::current().map(|current| current.trace), Some(own.trace));
    event("still here", "");
    drop(segment);
    assert_eq!(Context::current(), None);
    assert_eq!(agent.trace(own.trace).visits[0].notes.events.len(), 1);
    assert!(agent.trace(context.trace).spans[0].end_ns.is_some());
}

#[test]
fn cancelled_future_ends_its_spans() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let mut work = Box::pin(
        async {
            let _span = span("work");
            Pending(u32::MAX).await;
        }
        .in_segment(context),
    );
    assert_eq!(poll(work.as_mut()), Poll::Pending);
    drop(work);
    let trace = agent.trace(context.trace);
    assert!(trace.spans[0].end_ns.is_some(), "{trace:#?}");
    assert_eq!(Context::current(), None);
}

/// A future that is ready at once, with its span still open in it.
struct HoldsSpan(Option<Span>);

impl Future for HoldsSpan {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<()> {
        self.0 = Some(span("held"));
        Poll::Ready(())
    }
}

#[test]
fn future_that_is_ready_ends_in_its_trace_what_it_still_holds() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let mut work = Box::pin(HoldsSpan(None).in_segment(context));
    assert_eq!(poll(work.as_mut()), Poll::Ready(()));
    let ended = |agent: &Agent| agent.trace(context.trace).spans[0].end_ns.is_some();
    assert!(ended(&agent), "though the future itself is still here");
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(work.as_mut())));
    assert!(again.is_err(), "what is gone is not polled");
    drop(work);
    assert_eq!((ended(&agent), agent.trace(context.trace).malformed), (true, Malformed::default()));
}

#[test]
fn future_that_leaves_another_trace_active_keeps_its_own() {
    let agent = Agent::start_joined(Options::default());
    let (context, other) = (Context::new_trace(), Context::new_trace());
    let work = async {
        let _other = begin(&other);
        Pending(2).await;
        event("own", "");
    };
    let mut work = Box::pin(work.in_segment(context));
    assert_eq!(poll(work.as_mut()), Poll::Pending);
    assert_eq!(poll(work.as_mut()), Poll::Ready(()));
    let trace = agent.trace(context.trace);
    assert_eq!(trace.visits.iter().map(|visit| visit.notes.events.len()).sum::<usize>(), 1, "{trace:#?}");
}

/// The segment that began while the session was opened has the session's clock, not the one from before.
#[test]
fn first_segment_has_the_clock_of_the_session() {
    // Joined by another thread, so that this one's first call attaches.
    let options = Options { clock: ClockSource::Monotonic, ..Options::default() };
    let agent = std::thread::spawn(move || Agent::start_joined(options)).join().unwrap();
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        raw(b"now");
    }
    let trace = agent.trace(context.trace);
    // Without calibration points times are ticks since the first: a segment in one clock with records in another shows.
    let visit = &trace.visits[0];
    let payload = visit.notes.payloads[0].at_ns;
    assert!(visit.start_ns == 0 && payload < 1_000_000_000, "{visit:?}");
    let backsight_core::trace::ProcessClock::Ticks { first } = trace.processes[0].clock else { panic!("{trace:?}") };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec as u64;
    assert!(first / 1_000_000_000 <= now && first / 1_000_000_000 + 60 > now, "{first} at {now} s");
}

#[test]
fn payload_over_many_chunks_comes_back_whole_and_a_longer_one_is_cut() {
    let agent = Agent::start_joined(Options { n_leases: 16, ..Options::default() });
    let context = Context::new_trace();
    let payload = |len: usize| (0..len).map(|i| ((i * 31) >> 3) as u8).collect::<Vec<_>>();
    {
        let _segment = begin(&context);
        raw(&payload(300_000));
        raw(&payload((1 << 20) + 5));
    }
    let trace = agent.trace(context.trace);
    let found = &trace.visits[0].notes.payloads;
    assert_eq!(trace.malformed, Malformed::default());
    assert_eq!((found[0].bytes == payload(300_000), found[0].is_truncated), (true, false));
    assert_eq!((found[1].bytes == payload(1 << 20), found[1].is_truncated), (true, true));
}

/// A trace whose end found no chunk says so itself: its last segment is marked, though the chunk was full.
#[test]
fn loss_at_the_end_of_a_trace_is_found_in_the_trace() {
    let agent = Agent::start_joined(Options { n_leases: 0, ..Options::default() });
    agent.until("a session", |sessions| !sessions.is_empty());
    agent.look(|sessions| sessions[0].grant_first(1));
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        (0..10).for_each(|_| raw(&[7; 500]));
    }
    let trace = agent.trace(context.trace);
    assert_eq!(trace.losses.len(), 1, "{trace:#?}");
    let lost = stats().drops;
    assert!(lost.iter().any(|(reason, n)| *reason == DropReason::NoChunk && *n >= 2), "{lost:?}");
}

#[test]
fn recording_that_is_switched_off_and_on_again_goes_on() {
    let agent = Agent::start_joined(Options::default());
    let write = || {
        let context = Context::new_trace();
        let _segment = begin(&context);
        (0..100).for_each(|_| raw(&[1; 400]));
        context.trace
    };
    let (before, _) = (write(), agent.set_recording(false));
    let (_, during) = (write(), write());
    agent.set_recording(true);
    let after = write();
    let n = |trace| agent.trace(trace).visits.first().map_or(0, |visit| visit.notes.payloads.len());
    assert_eq!((n(before), n(during), n(after)), (100, 0, 100));
}

#[test]
fn trigger_names_its_trace_and_at_most_32_laterals() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let laterals: Vec<TraceId> = (1..=40).map(|i| TraceId::new(1, i)).collect();
    assert!(!trigger(TriggerId::MANUAL), "no trace is active");
    let elsewhere = TraceId::new(5, 5);
    {
        let _segment = begin(&context);
        assert!(trigger_with_laterals(TriggerId::MANUAL, &laterals));
        assert!(trigger_for(TriggerId::MANUAL, elsewhere, &[]));
    }
    let signals = agent.look(|sessions| sessions[0].signals.clone());
    let said: Vec<_> = signals
        .iter()
        .map(|signal| match signal {
            Signal::Trigger { trace, laterals, .. } => (*trace, laterals.len()),
            Signal::Elsewhere { .. } | Signal::Crumb { .. } => panic!("{signal:?}"),
        })
        .collect();
    assert_eq!(said, [(context.trace, 32), (elsewhere, 0)]);
    let trace = agent.trace(context.trace);
    assert_eq!(trace.fired.iter().map(|firing| firing.n_laterals).collect::<Vec<_>>(), [32]);
    assert!(stats().drops.contains(&(DropReason::NoTrace, 1)));
}

#[test]
fn trigger_in_drop_mode_with_a_full_ring_says_that_nobody_took_note() {
    let agent = Agent::start_joined(Options { n_leases: 0, ..Options::default() });
    agent.until("a session", |sessions| !sessions.is_empty());
    agent.look(|_| {
        // While the agent is held up here, its ring fills: 32 entries.
        let _segment = begin(&Context::new_trace());
        assert!((0..32).all(|_| trigger(TriggerId::MANUAL)));
        assert!(!trigger(TriggerId::MANUAL));
    });
    assert!(stats().drops.contains(&(DropReason::SignalFull, 1)), "{:?}", stats());
}

#[test]
fn sleeping_agent_is_woken_by_a_trigger() {
    let agent = Agent::start_joined(Options::default());
    let _segment = begin(&Context::new_trace());
    agent.fall_asleep();
    assert_eq!(agent.look(|sessions| sessions[0].rings()), 0);
    assert!(trigger(TriggerId::MANUAL));
    assert_eq!(agent.look(|sessions| sessions[0].rings()), 1);
}

/// Ids are drawn per thread; none comes twice.
#[test]
fn ids_of_spans_differ() {
    let agent = Agent::start_joined(Options::default());
    let draw = || {
        let _segment = begin(&Context::new_trace());
        (0..1000).map(|_| Span::start("x", SpanKind::Internal).id()).collect::<Vec<_>>()
    };
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(draw)).collect();
    let mut ids: Vec<SpanId> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    ids.sort();
    let n = ids.len();
    ids.dedup();
    assert_eq!((n, ids.len()), (8000, 8000));
    drop(agent);
}
