//! Every rule, from a trace for which nothing speaks against completeness: one thing is changed, and that one is named.

mod removal;
mod silence;

use super::{LISTED_MAX, Received, certify};
use backsight_core::certificate::{Amount, Certificate, Contact, GapKind, Verdict};
use backsight_core::coordination::{AgentView, View};
use backsight_core::holding::{Holding, HoldingState, LossInterval};
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::record::CrumbDirection;
use backsight_core::segment::LastWords;
use backsight_core::telemetry::DropReason;
use backsight_core::trace::{Crumb, Death, Loss, Malformed, OpenEdge, ProcessClock, ProcessInfo, Span, Trace};
use std::collections::BTreeMap;
use std::sync::Arc;

const TRACE: TraceId = TraceId::new(1, 2);
const CALLER: AgentId = AgentId(10);
const CALLEE: AgentId = AgentId(20);
const THIRD: AgentId = AgentId(30);
const CALL: SpanId = SpanId(7);
const S: u64 = 1_000_000_000;
/// When calls go out.
const SENT_NS: u64 = 10 * S;

/// A call from one host to another, everything known about it.
struct Case {
    view: View,
    trace: Trace,
    received: BTreeMap<AgentId, Received>,
}

fn holding(state: HoldingState) -> Holding {
    let looked_ns = SENT_NS + S;
    Holding { trace: TRACE, state, revision: 5, n_segments: 2, bytes: 200, looked_ns, ..Holding::default() }
}

fn crumb(seen_by: AgentId, direction: CrumbDirection, agent: AgentId) -> Crumb {
    Crumb { seen_by, direction, agent, span: CALL, n: 1 }
}

impl Case {
    fn complete() -> Self {
        let agents = [CALLER, CALLEE];
        let part =
            |agent| AgentView { agent, contact: Contact::Answered, holding: Some(holding(HoldingState::Kept).into()) };
        let process = |agent| ProcessInfo { agent, clock: ProcessClock::Wall, ..ProcessInfo::default() };
        let span = |process_idx| Span {
            id: SpanId(1 + process_idx as u64),
            process_idx,
            start_ns: 1000,
            end_ns: Some(2000),
            ..Span::default()
        };
        let received = |agent| {
            let amount = Amount { n_segments: 2, bytes: 200 };
            (agent, Received { amount, holding: Some(holding(HoldingState::Kept)), announced: amount })
        };
        Self {
            view: View { trace: TRACE, agents: agents.map(part).to_vec(), ..View::default() },
            trace: Trace {
                id: TRACE,
                processes: agents.map(process).to_vec(),
                spans: vec![span(0), span(1)],
                crumbs: vec![crumb(CALLER, CrumbDirection::To, CALLEE), crumb(CALLEE, CrumbDirection::From, CALLER)],
                ..Trace::default()
            },
            received: agents.map(received).into_iter().collect(),
        }
    }

    fn view_of(&mut self, agent: AgentId) -> &mut AgentView {
        self.view.agents.iter_mut().find(|of| of.agent == agent).unwrap()
    }

    /// Changes what the callee holds, in a newer holding than it reported.
    fn callee_holds(&mut self, change: impl FnOnce(&mut Holding)) {
        let holding = Arc::make_mut(self.view_of(CALLEE).holding.as_mut().unwrap());
        holding.revision += 1;
        change(holding);
    }

    fn certify(&self) -> Certificate {
        certify(Some(&self.view), &self.trace, &self.received)
    }
}

/// Changes one thing in a complete case and checks the verdict, and that exactly these gaps are named.
#[track_caller]
fn check(change: impl FnOnce(&mut Case), verdict: Verdict, gaps: &[(GapKind, AgentId, u64)]) {
    let mut case = Case::complete();
    change(&mut case);
    let certificate = case.certify();
    let named: Vec<_> = certificate.gaps.iter().map(|gap| (gap.kind, gap.agent, gap.n)).collect();
    assert_eq!((certificate.verdict, named.as_slice()), (verdict, gaps));
}

#[test]
fn a_trace_against_which_nothing_speaks_is_complete() {
    check(|_| (), Verdict::Complete, &[]);
    // Nobody had to be asked where one host has it all.
    check(
        |case| {
            case.view = View::default();
            case.received.remove(&CALLEE);
            case.trace.crumbs.clear();
        },
        Verdict::Complete,
        &[],
    );
}

#[test]
fn whoever_was_asked_must_have_answered() {
    check(
        |case| case.view.agents.push(AgentView { agent: AgentId(30), ..AgentView::default() }),
        Verdict::Unknown,
        &[(GapKind::Unanswered, AgentId(30), 0)],
    );
    for contact in [Contact::Unreachable, Contact::Unknown] {
        check(
            |case| case.view.agents.push(AgentView { agent: AgentId(30), contact, holding: None }),
            Verdict::Unknown,
            &[(GapKind::Unreachable, AgentId(30), 0)],
        );
    }
    // A host that only a record names, and that nobody asked.
    check(
        |case| {
            case.trace.crumbs.push(crumb(CALLER, CrumbDirection::To, AgentId(30)));
        },
        Verdict::Partial,
        &[(GapKind::Unanswered, AgentId(30), 0), (GapKind::OneEnded, AgentId(30), 1)],
    );
}

#[test]
fn what_was_announced_must_have_arrived_by_the_newest_word() {
    check(
        |case| case.callee_holds(|holding| holding.n_segments = 5),
        Verdict::Partial,
        &[(GapKind::SegmentsMissing, CALLEE, 3)],
    );
    // The same segments, but one has grown.
    check(
        |case| case.callee_holds(|holding| holding.bytes = 201),
        Verdict::Partial,
        &[(GapKind::SegmentsMissing, CALLEE, 1)],
    );
    // Of what an agent does, an old word does not count against a newer one.
    check(
        |case| {
            case.callee_holds(|holding| {
                holding.revision = 1;
                holding.n_open = 99;
            });
        },
        Verdict::Complete,
        &[],
    );
}

/// What was announced once and has not arrived is missing, though the agent does not know of it any more: it gave it up, or was started
/// again.
#[test]
fn what_was_announced_must_have_arrived_though_a_newer_word_says_less() {
    let forgets = |state, n_segments, bytes| {
        move |case: &mut Case| {
            let (state, revision) = (state, 9);
            let newest = Holding { trace: TRACE, state, revision, n_segments, bytes, ..Holding::default() };
            case.view_of(CALLEE).holding = Some(newest.into());
        }
    };
    check(forgets(HoldingState::NeverSeen, 0, 0), Verdict::Complete, &[]);
    for (state, n_segments) in [(HoldingState::NeverSeen, 0), (HoldingState::Kept, 1)] {
        let lost = |case: &mut Case| {
            forgets(state, n_segments, 100 * n_segments)(case);
            case.received.get_mut(&CALLEE).unwrap().amount = Amount { n_segments: 1, bytes: 100 };
        };
        check(lost, Verdict::Partial, &[(GapKind::SegmentsMissing, CALLEE, 1)]);
    }
    // Another host had said so to the coordinator, and reported nothing: now it has never seen it, or is not known any more.
    for is_known in [true, false] {
        let lost = |case: &mut Case| {
            case.received
                .insert(THIRD, Received { announced: Amount { n_segments: 4, bytes: 300 }, ..Received::default() });
            if is_known {
                case.third_host(holding(HoldingState::NeverSeen));
            }
        };
        let missing = (GapKind::SegmentsMissing, THIRD, 4);
        let unreachable = (GapKind::Unreachable, THIRD, 0);
        let gaps: &[_] = if is_known { &[missing] } else { &[unreachable, missing] };
        check(lost, Verdict::Partial, gaps);
    }
    // It had said so before its last report, too.
    let lost = |case: &mut Case| {
        case.received.get_mut(&CALLEE).unwrap().announced = Amount { n_segments: 4, bytes: 300 };
    };
    check(lost, Verdict::Partial, &[(GapKind::SegmentsMissing, CALLEE, 2)]);
}

#[test]
fn what_was_announced_must_have_arrived_by_an_older_word_too() {
    check(
        |case| {
            case.callee_holds(|holding| {
                holding.revision = 1;
                holding.n_segments = 99;
            });
        },
        Verdict::Partial,
        &[(GapKind::SegmentsMissing, CALLEE, 97)],
    );
}

#[test]
fn a_host_that_gave_something_up_says_so() {
    for (state, kind) in [
        (HoldingState::Evicted, GapKind::Evicted),
        (HoldingState::Refused, GapKind::Refused),
        (HoldingState::Abandoned, GapKind::Abandoned),
    ] {
        check(|case| case.callee_holds(|holding| holding.state = state), Verdict::Partial, &[(kind, CALLEE, 0)]);
    }
    check(|case| case.callee_holds(|holding| holding.detail = 2), Verdict::Partial, &[(GapKind::Detail, CALLEE, 2)]);
    check(
        |case| case.callee_holds(|holding| holding.n_left_out = 4),
        Verdict::Partial,
        &[(GapKind::TooLarge, CALLEE, 4)],
    );
    check(
        |case| case.callee_holds(|holding| holding.n_open = 1),
        Verdict::Unknown,
        &[(GapKind::InProgress, CALLEE, 1)],
    );
    check(
        |case| case.callee_holds(|holding| holding.n_evicted = 3),
        Verdict::Partial,
        &[(GapKind::Evicted, CALLEE, 3)],
    );
    check(|case| case.view.is_overfull = true, Verdict::Partial, &[(GapKind::TooMany, AgentId::NONE, 0)]);
}

#[test]
fn a_call_must_be_known_to_the_host_that_made_it() {
    let called_by = |span: SpanId| {
        move |case: &mut Case| {
            case.trace.crumbs = vec![Crumb { span, ..crumb(CALLEE, CrumbDirection::From, CALLER) }];
            case.trace.spans.iter_mut().for_each(|span| span.parent = SpanId::NONE);
        }
    };
    check(called_by(SpanId(1)), Verdict::Complete, &[]);
    check(called_by(SpanId::NONE), Verdict::Complete, &[]);
    check(called_by(SpanId(77)), Verdict::Partial, &[(GapKind::OneEnded, CALLER, 1)]);
}

#[test]
fn a_host_that_does_not_remember_the_beginning_of_a_trace_may_have_overwritten_some_of_it() {
    let remembers =
        |since_ns: u64| move |case: &mut Case| case.callee_holds(|holding| holding.remembers_since_ns = since_ns);
    let (first_ns, _) = Case::complete().trace.interval_ns().unwrap();
    check(remembers(first_ns), Verdict::Complete, &[]);
    check(remembers(first_ns + 1), Verdict::Partial, &[(GapKind::Evicted, CALLEE, 0)]);
}

#[test]
fn a_loss_counts_where_it_touches_the_trace() {
    let loss = |first_ns, last_ns| LossInterval {
        first_ns,
        last_ns,
        reason: Some(DropReason::NoChunk),
        n_records: 3,
        bytes: 96,
    };
    for (first, last, verdict) in [
        (0, 999, Verdict::Complete),
        (0, 1000, Verdict::Partial),
        (2000, 9000, Verdict::Partial),
        (2001, 9000, Verdict::Complete),
    ] {
        let gaps: &[_] = if verdict == Verdict::Partial { &[(GapKind::Loss, CALLEE, 3)] } else { &[] };
        check(|case| case.callee_holds(|holding| holding.losses = vec![loss(first, last)]), verdict, gaps);
    }
    let of_its_own = Loss { process_idx: 1, tid: 1, reason: None, n_records: 0, bytes: 0, first_ns: 0, last_ns: 0 };
    check(|case| case.trace.losses = vec![of_its_own], Verdict::Partial, &[(GapKind::Loss, CALLEE, 1)]);
}

#[test]
fn a_call_without_an_answer_needs_its_callee() {
    let open = OpenEdge { process_idx: 0, span: CALL, expected: AgentId::NONE, at_ns: 1500 };
    // Neither an answer nor a visit: whoever was called is missing.
    check(
        |case| {
            case.trace.open_edges = vec![open];
        },
        Verdict::Partial,
        &[(GapKind::NoAnswer, CALLER, 1)],
    );
    // The connection's last answer told whom to ask.
    check(
        |case| {
            case.trace.open_edges = vec![OpenEdge { expected: AgentId(30), ..open }];
        },
        Verdict::Partial,
        &[(GapKind::Unanswered, AgentId(30), 0), (GapKind::NoAnswer, CALLER, 1)],
    );
    // The callee died before it answered, and its visit was found.
    check(
        |case| {
            case.trace.open_edges = vec![open];
            case.trace.crumbs[1].n = 2;
        },
        Verdict::Complete,
        &[],
    );
    // The one visit belongs to the call that was answered, not to the other one of the same span.
    check(
        |case| {
            case.trace.open_edges = vec![open, open];
            case.trace.crumbs[1].n = 2;
        },
        Verdict::Partial,
        &[(GapKind::NoAnswer, CALLER, 1)],
    );
}

#[test]
fn a_host_that_the_request_came_through_must_have_answered_and_ends_no_call() {
    let came_through = |agent| {
        move |case: &mut Case| {
            case.trace.crumbs.push(Crumb { span: SpanId::NONE, ..crumb(CALLEE, CrumbDirection::Before, agent) });
        }
    };
    check(came_through(CALLER), Verdict::Complete, &[]);
    let third = AgentId(30);
    check(came_through(third), Verdict::Unknown, &[(GapKind::Unanswered, third, 0)]);
}

#[test]
fn every_crumb_needs_its_other_end() {
    check(|case| case.trace.crumbs.truncate(1), Verdict::Partial, &[(GapKind::OneEnded, CALLEE, 1)]);
    check(
        |case| {
            case.trace.crumbs[1].agent = AgentId(30);
            case.view.agents.push(AgentView {
                agent: AgentId(30),
                contact: Contact::Answered,
                holding: Some(Holding { n_segments: 0, bytes: 0, ..holding(HoldingState::NeverSeen) }.into()),
            });
        },
        Verdict::Partial,
        &[(GapKind::OneEnded, CALLEE, 1), (GapKind::OneEnded, AgentId(30), 1)],
    );
}

/// Crumbs are what a client wrote: it may name as many hosts as it has room for.
#[test]
fn what_names_too_many_hosts_is_partial_and_its_certificate_is_bounded() {
    let mut case = Case::complete();
    for (n, direction) in (1000..5000).zip([CrumbDirection::To, CrumbDirection::Before].into_iter().cycle()) {
        case.trace.crumbs.push(crumb(CALLER, direction, AgentId(n)));
    }
    let certificate = certify(Some(&case.view), &case.trace, &case.received);
    assert_eq!(certificate.verdict, Verdict::Partial);
    assert!(certificate.agents.len() == LISTED_MAX && certificate.gaps.len() <= LISTED_MAX + 1);
    assert!(certificate.gaps.iter().any(|gap| gap.kind == GapKind::TooMany));
}

#[test]
fn what_cannot_be_read_counts_but_for_the_last_record_of_the_dead() {
    let malformed = |malformed| move |case: &mut Case| case.trace.malformed = malformed;
    let records = Malformed { records: 2, ..Malformed::default() };
    check(malformed(records), Verdict::Partial, &[(GapKind::Malformed, AgentId::NONE, 2)]);
    let fragments = Malformed { fragments: 1, ..Malformed::default() };
    check(malformed(fragments), Verdict::Partial, &[(GapKind::Malformed, AgentId::NONE, 1)]);
    let with_death = |case: &mut Case| {
        case.trace.malformed = fragments;
        case.trace.processes[1].death = Some(Death { at_ns: None, last_words: LastWords::default() });
    };
    check(with_death, Verdict::Complete, &[]);
}
