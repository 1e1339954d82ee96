//! Claims about requests that come in and go out under an agent: crumbs, open edges, what fired, and what a process remembers of its peers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;
#[path = "common/host.rs"]
mod host;

use agent::{AGENT, Agent, Options};
use backsight_client::{
    AgentId, Connection, Context, Incoming, Others, Outgoing, SegmentExt, SpanId, TriggerId, attach, begin, detach,
    extract, inject, response_crumb, span, stats, trigger,
};
use backsight_core::context::{ResponseCrumb, TraceParent, TraceState, Trail, TrailFlags};
use backsight_core::record::{CrumbDirection, seg_flags};
use backsight_core::trace::Trace;
use backsight_ringbuf::region::CrumbRules;
use backsight_ringbuf::ring::Signal;
use std::future::{Future, ready};
use std::pin::{Pin, pin};
use std::task::{self, Poll, Waker};

const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Came through agents 4, 3, 2, 1, newest first.
const STATE: &[u8] = b"a=1,bks=12:0000004.0000003.0000002.0000001,b=2";
const FIRED: &[u8] = b"bks=13:0000004:00000b4.00000b5";
const FIRST_TRIGGER: TriggerId = TriggerId(11 << 5 | 4);

fn arrived(state: &'static [u8]) -> Incoming<'static> {
    extract(Some(PARENT), Some(state))
}

/// Sends a request of the active segment to a peer of which nothing is known.
fn send() -> Outgoing {
    inject(&Context::default(), Others::NONE, &Connection::new())
}

fn trail_of(outgoing: &Outgoing) -> Trail {
    TraceState::parse(outgoing.tracestate().as_bytes()).trail.unwrap()
}

fn numbers(trail: &Trail) -> Vec<u32> {
    trail.crumbs().iter().map(|crumb| crumb.0).collect()
}

fn answer(agent: u32, fired: bool) -> String {
    ResponseCrumb { agent: AgentId(agent), fired, ..ResponseCrumb::default() }.format().as_str().to_owned()
}

/// Returns the open edges: their spans and where their callees may be.
fn edges(trace: &Trace) -> Vec<(SpanId, u32)> {
    trace.open_edges.iter().map(|edge| (edge.span, edge.expected.0)).collect()
}

#[test]
fn request_names_its_span_and_its_edge_is_open_until_it_is_answered() {
    let agent = Agent::start_joined(Options::default());
    let incoming = arrived(STATE);
    let peer = Connection::new();
    let _segment = begin(&incoming.context);
    let call = {
        let calling = span("call");
        let outgoing = inject(&incoming.context, incoming.others, &peer);
        let parent = TraceParent::parse(outgoing.traceparent().as_bytes()).unwrap();
        assert_eq!((parent.trace, parent.span, parent.flags), (incoming.context.trace, calling.id(), 1));
        assert_eq!(outgoing.tracestate(), "bks=12:000002h.0000004.0000003,a=1,b=2", "the newest three, ours first");
        assert_eq!(outgoing.headers().count(), 2);
        let trace = agent.trace(incoming.context.trace);
        assert_eq!(edges(&trace), [(calling.id(), 0)]);
        assert_eq!(trace.crumbs.len(), 4, "nobody to ask for the callee yet: {:?}", trace.crumbs);
        outgoing.call
    };
    call.answered(Some(b"0000009"), &peer); // after its span: edges are closed by the call, not by what is active
    let trace = agent.trace(incoming.context.trace);
    assert_eq!(edges(&trace), []);
    let crumbs = trace.crumbs.iter().map(|crumb| (crumb.direction, crumb.agent.0));
    let ends: Vec<_> = crumbs.filter(|(direction, _)| *direction != CrumbDirection::Before).collect();
    assert_eq!(ends, [(CrumbDirection::From, 4), (CrumbDirection::To, 9)]);
    assert_eq!(agent.take_signals(), [], "the log is enough");
    assert_eq!(agent.segment_flags(incoming.context.trace).len(), 1);
    assert!(agent.segment_flags(incoming.context.trace)[0] & seg_flags::CRUMBS != 0);
}

#[test]
fn segment_without_calls_is_not_marked_to_hold_crumbs() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    drop(begin(&context));
    assert_eq!(agent.segment_flags(context.trace), [seg_flags::RANDOM_ID]);
}

#[test]
fn each_answer_closes_the_edge_of_its_own_span() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let _segment = begin(&context);
    let (first, second) = (span("first"), send());
    drop(first);
    let other = span("other");
    let third = send();
    third.call.answered(None, &Connection::new()); // somebody without a recorder
    let trace = agent.trace(context.trace);
    let parent = TraceParent::parse(second.traceparent().as_bytes()).unwrap();
    assert_eq!(edges(&trace), [(parent.span, 0)]);
    assert_ne!(parent.span, other.id());
    assert!(trace.crumbs.is_empty());
}

#[test]
fn callee_that_never_answers_is_looked_for_where_its_connection_was_answered_last() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    static PEER: Connection = Connection::new();
    let _segment = begin(&context);
    inject(&context, Others::NONE, &PEER).call.answered(Some(answer(7, false).as_bytes()), &PEER);
    assert_eq!(PEER.agent(), AgentId(7));
    let _lost = inject(&context, Others::NONE, &PEER);
    let trace = agent.trace(context.trace);
    assert_eq!(trace.open_edges.iter().map(|edge| edge.expected.0).collect::<Vec<_>>(), [7]);
    assert!(trace.crumbs.iter().any(|crumb| (crumb.direction, crumb.agent.0) == (CrumbDirection::Out, 7)));
    // The recorder there was taken away: nobody is to be asked for what it never had.
    inject(&context, Others::NONE, &PEER).call.answered(None, &PEER);
    assert_eq!(PEER.agent(), AgentId::NONE);
    inject(&context, Others::NONE, &PEER).call.answered(Some(b"not a crumb"), &PEER);
    assert_eq!(PEER.agent(), AgentId::NONE);
}

#[test]
fn call_that_never_left_is_closed_and_teaches_nothing_about_its_peer() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    static PEER: Connection = Connection::new();
    let _segment = begin(&context);
    inject(&context, Others::NONE, &PEER).call.answered(Some(answer(7, false).as_bytes()), &PEER);
    let lost = {
        let lost = span("lost");
        let _ = inject(&context, Others::NONE, &PEER);
        lost.id()
    };
    let refused = {
        let _refused = span("refused");
        inject(&context, Others::NONE, &PEER).call
    };
    assert_eq!(edges(&agent.trace(context.trace)).len(), 2);
    refused.unsent(); // after its span, like an answer
    assert_eq!(edges(&agent.trace(context.trace)), [(lost, 7)], "no other call is closed");
    assert_eq!(PEER.agent(), AgentId(7), "whoever is there again is asked for the next call that is lost");
    assert_eq!(agent.take_signals(), []);
}

#[test]
fn request_without_a_span_gets_one_that_its_edge_names() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let _segment = begin(&context);
    let outgoing = send();
    let parent = TraceParent::parse(outgoing.traceparent().as_bytes()).unwrap();
    assert_eq!(edges(&agent.trace(context.trace)), [(parent.span, 0)]);
    outgoing.call.answered(None, &Connection::new());
    assert_eq!(edges(&agent.trace(context.trace)), []);
}

#[test]
fn trigger_that_fired_at_the_callee_travels_on_and_is_told_once() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let _segment = begin(&context);
    let (before, peer) = (send(), Connection::new());
    assert!(!trail_of(&before).flags.has(TrailFlags::FIRED));
    assert_eq!(response_crumb().unwrap().as_str(), AGENT.to_string());
    before.call.answered(Some(answer(9, true).as_bytes()), &peer);
    send().call.answered(Some(answer(9, true).as_bytes()), &peer);
    assert!(trail_of(&send()).flags.has(TrailFlags::FIRED));
    assert_eq!(response_crumb().unwrap().as_str(), format!("{AGENT}.0000009f"));
    let fired = |signal: &Signal| matches!(signal, Signal::Elsewhere { trigger: TriggerId(0), trace, .. } if *trace == context.trace);
    assert_eq!(agent.take_signals().iter().filter(|signal| fired(signal)).count(), 1);
    assert!(agent.segment_flags(context.trace)[0] & seg_flags::FIRED != 0, "found there if the ring was full");
}

#[test]
fn crumbs_of_a_fired_trace_are_told_at_once() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let _segment = begin(&context);
    trigger(TriggerId::CLI);
    agent.take_signals();
    send().call.answered(Some(b"0000009"), &Connection::new());
    let told = agent.take_signals();
    assert!(matches!(told[..], [Signal::Crumb { agent: AgentId(9), direction: CrumbDirection::To, .. }]), "{told:?}");
}

#[test]
fn trigger_that_fired_here_travels_with_the_next_request() {
    let _agent = Agent::start_joined(Options::default());
    let incoming = arrived(b"bks=13:0000004:00000b4");
    let _segment = begin(&incoming.context);
    trigger(TriggerId::CLI);
    trigger(TriggerId::MANUAL); // a third finds no room
    let trail = trail_of(&send());
    assert_eq!(trail.triggers(), [FIRST_TRIGGER, TriggerId::CLI]);
    assert!(trail.flags.has(TrailFlags::FIRED));
}

#[test]
fn request_that_arrives_fired_is_told_once_and_not_when_it_is_resumed() {
    let agent = Agent::start_joined(Options::default());
    let incoming = arrived(FIRED);
    let segment = begin(&incoming.context);
    let told = agent.take_signals();
    let [Signal::Elsewhere { trigger, trace, .. }] = told[..] else { panic!("{told:?}") };
    assert_eq!((trigger, trace), (FIRST_TRIGGER, incoming.context.trace));
    drop(begin(&incoming.context)); // active already
    let paused = detach().unwrap();
    drop(attach(&paused));
    drop(segment);
    assert_eq!(agent.take_signals(), []);
    let unnamed = arrived(b"bks=11:0000004");
    drop(begin(&unnamed.context));
    assert!(matches!(agent.take_signals()[..], [Signal::Elsewhere { trigger: TriggerId(0), .. }]));
    drop(begin(&arrived(b"bks=16:0000004").context));
    assert_eq!(agent.take_signals(), [], "kept from the first hop on: found when the chunk is sealed");
}

#[test]
fn hosts_before_the_caller_are_in_the_log_once_and_are_no_ends_of_calls() {
    let agent = Agent::start_joined(Options::default());
    let incoming = arrived(STATE);
    let segment = begin(&incoming.context);
    drop(attach(&detach().unwrap()));
    drop(segment);
    let trace = agent.trace(incoming.context.trace);
    let crumbs: Vec<_> = trace.crumbs.iter().map(|crumb| (crumb.direction, crumb.agent.0, crumb.n)).collect();
    let before = |agent| (CrumbDirection::Before, agent, 1);
    assert_eq!(crumbs, [(CrumbDirection::From, 4, 1), before(1), before(2), before(3)]);
    assert!(trace.open_edges.is_empty());
}

/// Servers of futures may give them the context as it came: the first poll begins the visit, and is all that says where it came from.
#[test]
fn request_that_a_future_serves_begins_with_its_first_poll() {
    let agent = Agent::start_joined(Options::default());
    let incoming = arrived(FIRED);
    let mut n_pending = 2;
    let awaits = std::future::poll_fn(|_| {
        n_pending -= 1;
        if n_pending == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    let mut work = pin!(
        async {
            awaits.await;
            Context::current().unwrap()
        }
        .in_segment(incoming.context)
    );
    assert_eq!(poll(work.as_mut()), Poll::Pending);
    let Poll::Ready(current) = poll(work.as_mut()) else { panic!("it waits once") };
    drop(attach(&current)); // a task of its own, as it would be spawned
    assert!(matches!(agent.take_signals()[..], [Signal::Elsewhere { trigger: FIRST_TRIGGER, .. }]));
    let from = |trace: &Trace| {
        let crumbs = trace.crumbs.iter().filter(|crumb| crumb.direction == CrumbDirection::From);
        crumbs.map(|crumb| (crumb.agent.0, crumb.n)).collect::<Vec<_>>()
    };
    assert_eq!(from(&agent.trace(incoming.context.trace)), [(4, 1)]);
    let attached = arrived(STATE);
    drop(attach(&attached.context)); // as it came, too
    assert_eq!(from(&agent.trace(attached.context.trace)), [(4, 2)], "of the same trace, once more");
}

/// Tells the visit of four answers, the last of them from this host.
fn hear_answers() {
    for answer in ["0000009.000000a.000000b", "0000009.000000a.000000b", "000000c.000000d", &format!("{AGENT}.000000e")]
    {
        send().call.answered(Some(answer.as_bytes()), &Connection::new());
    }
}

#[test]
fn hosts_behind_the_callee_are_in_the_log_once_and_are_no_ends_of_calls() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let _segment = begin(&context);
    hear_answers();
    let trace = agent.trace(context.trace);
    let of = |direction| {
        let crumbs = trace.crumbs.iter().filter(move |crumb| crumb.direction == direction);
        crumbs.map(|crumb| (crumb.agent.0, crumb.n)).collect::<Vec<_>>()
    };
    assert_eq!(
        of(CrumbDirection::After),
        [(10, 1), (11, 2), (13, 1), (14, 1)],
        "11 found no place among those that are known"
    );
    assert_eq!(of(CrumbDirection::To), [(9, 1), (9, 1), (12, 1), (AGENT.0, 1)]);
    assert!(trace.open_edges.is_empty());
    assert_eq!(agent.take_signals(), []);
}

#[test]
fn an_answer_names_the_nearest_hosts_behind_this_one_also_after_another_thread_took_over() {
    let _agent = Agent::start_joined(Options::default());
    let _segment = begin(&Context::new_trace());
    send().call.answered(Some(b"0000009.000000a.000000b"), &Connection::new());
    assert_eq!(response_crumb().unwrap().as_str(), format!("{AGENT}.0000009.000000a"));
    let paused = detach().unwrap();
    let answer = std::thread::spawn(move || {
        let _segment = attach(&paused);
        hear_answers();
        response_crumb().unwrap().as_str().to_owned()
    });
    assert_eq!(answer.join().unwrap(), format!("{AGENT}.000000c.0000009"));
    assert_eq!(response_crumb().unwrap().as_str(), AGENT.to_string(), "no visit, nobody behind it");
}

#[test]
fn an_answer_is_as_long_as_the_agent_says() {
    for (path_len, expected) in [(1, ""), (2, ".000000c"), (5, ".000000c.0000009")] {
        // One session a process: a child for each.
        let code = host::fork(|| {
            let crumbs = CrumbRules { path_len, in_responses: true };
            let _agent = Agent::start_joined(Options { crumbs, ..Options::default() });
            let _segment = begin(&Context::new_trace());
            hear_answers();
            response_crumb().unwrap().as_str() == format!("{AGENT}{expected}")
        });
        assert_eq!(code, 0, "path length {path_len}");
    }
}

#[test]
fn trail_survives_threads_and_futures() {
    let _agent = Agent::start_joined(Options::default());
    let incoming = arrived(STATE);
    let expected = "bks=12:000002h.0000004.0000003";
    let _segment = begin(&incoming.context);
    let mut begun = incoming.context;
    begun.carried.flags |= seg_flags::RESUME;
    assert_eq!(Context::current(), Some(begun));
    let paused = detach().unwrap();
    let sent = std::thread::spawn(move || {
        let _segment = attach(&paused);
        send()
    });
    assert_eq!(sent.join().unwrap().tracestate(), expected);
    let work = pin!(
        async {
            ready(()).await;
            send()
        }
        .in_segment(incoming.context)
    );
    assert_eq!(poll(work).map(|sent| sent.tracestate().to_owned()), Poll::Ready(expected.to_owned()));
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut task::Context::from_waker(Waker::noop()))
}

#[test]
fn path_is_as_long_as_the_agent_says() {
    for (path_len, expected) in [(1, vec![0x51]), (5, vec![0x51, 4, 3, 2, 1]), (200, vec![0x51, 4, 3, 2, 1])] {
        // One session a process: a child for each.
        let code = host::fork(|| {
            let crumbs = CrumbRules { path_len, in_responses: true };
            let _agent = Agent::start_joined(Options { crumbs, ..Options::default() });
            let _segment = begin(&arrived(STATE).context);
            numbers(&trail_of(&send())) == expected
        });
        assert_eq!(code, 0, "path length {path_len}");
    }
}

#[test]
fn response_names_no_agent_where_that_is_switched_off() {
    let crumbs = CrumbRules { path_len: 3, in_responses: false };
    let _agent = Agent::start_joined(Options { crumbs, ..Options::default() });
    let _segment = begin(&Context::new_trace());
    assert_eq!(response_crumb(), None);
}

#[test]
fn crumbs_that_find_no_chunk_are_told_by_the_ring() {
    let agent = Agent::start_joined(Options { n_leases: 0, ..Options::default() });
    let context = Context::new_trace();
    let _segment = begin(&context);
    let outgoing = send();
    outgoing.call.answered(Some(b"0000009"), &Connection::new());
    let told = agent.take_signals();
    let [Signal::Crumb { direction: out, span, .. }, Signal::Crumb { agent: to, span: of, trace, .. }] = told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((out, to, span, trace), (CrumbDirection::Out, AgentId(9), of, context.trace));
}

#[test]
fn call_outside_a_segment_is_told_by_the_ring_and_travels_with_what_was_given() {
    let agent = Agent::start_joined(Options::default());
    let incoming = arrived(STATE);
    let outgoing = inject(&incoming.context, incoming.others, &Connection::new());
    assert_eq!(outgoing.tracestate(), "bks=12:000002h.0000004.0000003,a=1,b=2");
    let told = agent.take_signals();
    assert!(matches!(told[..], [Signal::Crumb { trace, .. }] if trace == incoming.context.trace), "{told:?}");
    // Answered while the thread works for another trace: nothing of it ends up there.
    let other = Context::new_trace();
    let _segment = begin(&other);
    outgoing.call.answered(Some(b"0000009f"), &Connection::new());
    let told = agent.take_signals();
    assert!(
        matches!(told[..], [Signal::Crumb { trace, .. }, Signal::Elsewhere { trace: fired, .. }]
        if trace == incoming.context.trace && fired == trace),
        "{told:?}"
    );
    assert_eq!(agent.segment_flags(other.trace), [seg_flags::RANDOM_ID]);
    assert!(inject(&Context::default(), Others::NONE, &Connection::new()).headers().count() == 2);
}

#[test]
fn nothing_goes_out_for_no_trace() {
    let agent = Agent::start_joined(Options::default());
    let outgoing = send();
    assert_eq!(outgoing.headers().count(), 0);
    outgoing.call.answered(Some(b"0000009"), &Connection::new());
    assert_eq!(agent.take_signals(), []);
    assert_eq!(stats().drops, []);
}

#[test]
fn forked_child_sends_under_its_own_session_and_remembers_its_parents_peers() {
    let agent = Agent::start_joined(Options::default());
    static PEER: Connection = Connection::new();
    let context = Context::new_trace();
    let segment = begin(&context);
    let before = inject(&context, Others::NONE, &PEER);
    before.call.answered(Some(b"0000009"), &PEER);
    let open = inject(&context, Others::NONE, &PEER);
    let other = Context::of(backsight_client::TraceId::new(77, 1), SpanId(5));
    let code = host::fork(|| {
        while stats().session.is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _segment = begin(&other);
        let sent = inject(&other, Others::NONE, &PEER);
        numbers(&trail_of(&sent)) == [AGENT.0] && Context::current().is_some()
    });
    assert_eq!(code, 0);
    assert_eq!(edges(&agent.trace(other.trace)), [(SpanId(5), 9)]);
    assert_eq!(agent.trace(context.trace).open_edges.len(), 1, "the parent's call is its own");
    open.call.answered(None, &PEER);
    drop(segment);
    assert_eq!(agent.trace(context.trace).open_edges.len(), 0);
}
