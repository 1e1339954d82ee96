//! Calls without an answer: what explains the silence, and what does not.

use super::{CALLEE, CALLER, Case, S, SENT_NS, THIRD, check, crumb, holding};
use backsight_core::certificate::{Contact, GapKind, Verdict};
use backsight_core::coordination::AgentView;
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, SpanId};
use backsight_core::record::CrumbDirection;
use backsight_core::segment::LastWords;
use backsight_core::trace::{Crumb, Death, OpenEdge, ProcessClock, Span};
use std::sync::Arc;

/// The span of a call that has neither answer nor visit.
const SILENT: SpanId = SpanId(9);
const NO_ANSWER: (GapKind, AgentId, u64) = (GapKind::NoAnswer, CALLER, 1);
const SILENCE: OpenEdge = OpenEdge { process_idx: 0, span: SILENT, expected: CALLEE, at_ns: SENT_NS };

fn death() -> Option<Death> {
    Some(Death { at_ns: None, last_words: LastWords::default() })
}

fn lead(span: SpanId, agent: AgentId) -> Crumb {
    Crumb { seen_by: CALLER, direction: CrumbDirection::Out, agent, span, n: 1 }
}

impl Case {
    /// A call under way without a sign of its callee, whose host has missed nothing since long before it.
    fn call_in_silence(&mut self) {
        self.trace.open_edges.push(SILENCE);
        self.trace.crumbs.push(lead(SILENT, CALLEE));
        let span = Span { id: SILENT, process_idx: 0, start_ns: SENT_NS, is_cut: true, ..Span::default() };
        self.trace.spans.push(span);
        self.callee_holds(|holding| holding.whole_since_ns = Some(SENT_NS - S));
    }

    /// The caller was killed meanwhile.
    fn killed_in_silence(&mut self) {
        self.call_in_silence();
        self.trace.processes[0].death = death();
    }

    /// A process of the callee's host was found dead at `at_ns`, and the call ended with an error at `end_ns`.
    fn callee_died(&mut self, at_ns: u64, end_ns: Option<u64>) {
        self.call_in_silence();
        self.callee_holds(|holding| holding.deaths_ns = vec![1, at_ns]);
        self.trace.spans.last_mut().unwrap().end_ns = end_ns;
    }

    /// Adds a third host that answered, with everything known.
    pub(super) fn third_host(&mut self, holding: Holding) {
        let holding = Some(Holding { n_segments: 0, bytes: 0, ..holding }.into());
        self.view.agents.push(AgentView { agent: THIRD, contact: Contact::Answered, holding });
    }
}

/// Changes one thing in a case that is complete although a call has no answer, and checks that it is not explained then.
#[track_caller]
fn check_unexplained(case: impl Fn(&mut Case), change: impl Fn(&mut Case), gaps: &[(GapKind, AgentId, u64)]) {
    check(&case, Verdict::Complete, &[]);
    let changed = |of: &mut Case| {
        case(of);
        change(of);
    };
    check(changed, Verdict::Partial, gaps);
}

#[test]
fn a_call_that_its_callers_death_cut_is_no_gap_where_the_callees_host_has_nothing_of_it() {
    let killed = Case::killed_in_silence;
    let check = |change: &dyn Fn(&mut Case)| check_unexplained(killed, change, &[NO_ANSWER]);
    check(&|case| case.trace.processes[0].death = None);
    // It had ended before its process did.
    check(&|case| case.trace.spans.last_mut().unwrap().end_ns = Some(SENT_NS + 1));
    // Nobody knows where it went.
    check(&|case| case.trace.open_edges[0].expected = AgentId::NONE);
    // The host may have recorded the visit and overwritten or lost it, or its agent was not there.
    check(&|case| case.callee_holds(|holding| holding.whole_since_ns = Some(SENT_NS - S + 1)));
    check(&|case| case.callee_holds(|holding| holding.whole_since_ns = None));
    // It may have recorded the visit after it looked, and died before it could tell.
    check(&|case| case.callee_holds(|holding| holding.looked_ns = SENT_NS + S - 1));
    // The caller's times are no times of the day.
    check(&|case| case.trace.processes[0].clock = ProcessClock::Ticks { first: 1 });
}

#[test]
fn a_host_that_gave_something_up_explains_no_call() {
    for (state, kind) in [
        (HoldingState::Evicted, GapKind::Evicted),
        (HoldingState::Refused, GapKind::Refused),
        (HoldingState::Abandoned, GapKind::Abandoned),
    ] {
        let gives_up = |case: &mut Case| case.callee_holds(|holding| holding.state = state);
        check_unexplained(Case::killed_in_silence, gives_up, &[(kind, CALLEE, 0), NO_ANSWER]);
    }
    let to_third = |case: &mut Case| {
        case.killed_in_silence();
        case.third_host(Holding { whole_since_ns: Some(0), ..holding(HoldingState::NeverSeen) });
        case.trace.open_edges[0].expected = THIRD;
        case.trace.crumbs.last_mut().unwrap().agent = THIRD;
    };
    let is_asked = |case: &mut Case| {
        let view = case.view_of(THIRD);
        (view.contact, view.holding) = (Contact::Asked, None);
    };
    check_unexplained(to_third, is_asked, &[(GapKind::Unanswered, THIRD, 0), NO_ANSWER]);
    let is_away = |case: &mut Case| case.view_of(THIRD).contact = Contact::Unreachable;
    check_unexplained(to_third, is_away, &[(GapKind::Unreachable, THIRD, 0), NO_ANSWER]);
    let unasked = |case: &mut Case| drop(case.view.agents.pop());
    check_unexplained(to_third, unasked, &[(GapKind::Unanswered, THIRD, 0), NO_ANSWER]);
}

#[test]
fn where_calls_of_one_span_differ_none_is_explained_by_the_host_of_another() {
    // An answer was taken for that of the call to the third host, and may have been that of the other.
    let other_lead = |case: &mut Case| {
        case.killed_in_silence();
        case.third_host(Holding { whole_since_ns: Some(0), ..holding(HoldingState::NeverSeen) });
        case.trace.crumbs.push(lead(SILENT, THIRD));
    };
    let third_is_short = |case: &mut Case| {
        Arc::make_mut(case.view_of(THIRD).holding.as_mut().unwrap()).whole_since_ns = Some(SENT_NS);
    };
    check_unexplained(other_lead, third_is_short, &[NO_ANSWER]);
    let another_to_anywhere =
        |case: &mut Case| case.trace.open_edges.push(OpenEdge { expected: AgentId::NONE, ..SILENCE });
    check_unexplained(Case::killed_in_silence, another_to_anywhere, &[(GapKind::NoAnswer, CALLER, 2)]);
}

#[test]
fn visits_are_not_counted_for_a_call_that_a_death_explains_and_for_another_one() {
    let with_visits = |n| {
        move |case: &mut Case| {
            case.killed_in_silence();
            case.trace.open_edges.push(OpenEdge { at_ns: SENT_NS - 1, ..SILENCE }); // too early to be explained
            if n > 0 {
                case.trace.crumbs.push(Crumb { span: SILENT, n, ..crumb(CALLEE, CrumbDirection::From, CALLER) });
            }
        }
    };
    check(with_visits(0), Verdict::Partial, &[NO_ANSWER]);
    // It may be the one of the call that is explained.
    check(with_visits(1), Verdict::Partial, &[NO_ANSWER]);
    check(with_visits(2), Verdict::Complete, &[]);
    // Both are explained, and one was served all the same.
    let both = |case: &mut Case| {
        with_visits(1)(case);
        case.trace.open_edges[1].at_ns = SENT_NS;
    };
    check(both, Verdict::Complete, &[]);
}

#[test]
fn a_death_on_the_callees_host_explains_the_silence_while_the_call_was_under_way() {
    let (earliest, end) = (SENT_NS - S, SENT_NS + 5 * S);
    for at_ns in [earliest, SENT_NS, end, end + S] {
        check(|case| case.callee_died(at_ns, Some(end)), Verdict::Complete, &[]);
    }
    for at_ns in [earliest - 1, end + S + 1] {
        check(|case| case.callee_died(at_ns, Some(end)), Verdict::Partial, &[NO_ANSWER]);
    }
    // A call that has not ended waits still.
    check(|case| case.callee_died(end + 100 * S, None), Verdict::Complete, &[]);
    let died = |case: &mut Case| case.callee_died(SENT_NS, Some(end));
    let unknown = |case: &mut Case| case.trace.open_edges[0].expected = AgentId::NONE;
    check_unexplained(died, unknown, &[NO_ANSWER]);
    let short = |case: &mut Case| case.callee_holds(|holding| holding.whole_since_ns = Some(SENT_NS));
    check_unexplained(died, short, &[NO_ANSWER]);
    // Somebody died, but where nobody was called.
    let elsewhere = |case: &mut Case| {
        case.callee_holds(|holding| holding.deaths_ns.clear());
        case.third_host(Holding {
            whole_since_ns: Some(0),
            deaths_ns: vec![SENT_NS],
            ..holding(HoldingState::NeverSeen)
        });
    };
    check_unexplained(died, elsewhere, &[NO_ANSWER]);
}
