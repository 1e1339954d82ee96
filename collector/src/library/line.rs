//! A stored trace as searches see it: its summary, and what its spans can be found by.
//!
//! Made once a trace comes to rest, kept in the index. Pure.

use super::stored::Stored;
use backsight_core::certificate::{Certificate, Gap, GapKind};
use backsight_core::ids::{AgentId, TriggerId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{ProcessClock, Span, Trace};
use backsight_proto::v1;
use backsight_proto::wire::Summary;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pairs of service and operation by which one trace can be found; of further ones only that they are there.
pub const FACTS_MAX: usize = 256;
/// Services that a summary names.
pub const SERVICES_MAX: usize = 256;
/// Gaps that a summary names; of more it only says how many there are of each kind.
pub const GAPS_MAX: usize = 32;
/// The longest name of a service or an operation in a summary, and the longest one that can be searched for.
pub const NAME_MAX_BYTES: usize = 1024;

/// What a trace must match; all that is left at its default matches.
///
/// Service, operation, duration and error must hold for one span. A visit without spans counts as a span without a name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// The service of the span, empty for any.
    pub service: String,
    /// Its name, empty for any.
    pub operation: String,
    /// How long it took at least; a span without an end took no time.
    pub min_duration_ns: u64,
    /// Whether it must have ended in an error.
    pub errors_only: bool,
    /// The trace must not have ended before, 0 for any.
    pub from_ns: u64,
    /// The trace must not have begun after, 0 for any.
    pub to_ns: u64,
    /// A trigger that fired for the trace, 0 for any.
    pub trigger: TriggerId,
}

impl From<v1::Filter> for Filter {
    fn from(filter: v1::Filter) -> Self {
        Self {
            service: filter.service,
            operation: filter.operation,
            min_duration_ns: filter.min_duration_ns,
            errors_only: filter.errors_only,
            from_ns: filter.from_ns,
            to_ns: filter.to_ns,
            trigger: TriggerId(filter.trigger),
        }
    }
}

impl Filter {
    /// Returns the last start that matches.
    pub(super) fn start_max(&self) -> u64 {
        if self.to_ns == 0 { u64::MAX } else { self.to_ns }
    }
}

/// The spans of one service and operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fact {
    pub(super) service: Arc<str>,
    pub(super) operation: Arc<str>,
    pub(super) longest: Longest,
    /// Of which kinds they are: the bit of each one's code.
    pub(super) kinds: u8,
}

/// The longest of some spans, and the longest of those that ended in an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Longest {
    any_ns: Option<u64>,
    error_ns: Option<u64>,
}

impl Longest {
    fn add(&mut self, duration_ns: u64, is_error: bool) {
        self.any_ns = self.any_ns.max(Some(duration_ns));
        if is_error {
            self.error_ns = self.error_ns.max(Some(duration_ns));
        }
    }

    fn matches(self, filter: &Filter) -> bool {
        let longest = if filter.errors_only { self.error_ns } else { self.any_ns };
        longest.is_some_and(|ns| ns >= filter.min_duration_ns)
    }
}

/// A trace in one line, with what it can be found by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What people read.
    pub summary: Summary,
    pub(super) facts: Vec<Fact>,
    /// Of all spans.
    whole: Longest,
    /// Whether there are more pairs of service and operation than facts.
    pub(super) is_cut: bool,
    /// Whether a span or a visit has no end: it may have taken longer than the summary says.
    pub(super) is_open: bool,
}

impl Line {
    /// Returns whether the trace matches `filter`.
    ///
    /// # Cost
    /// At most [`FACTS_MAX`] comparisons of names.
    pub fn matches(&self, filter: &Filter) -> bool {
        self.matches_whole(filter) && self.matches_span(filter)
    }

    fn matches_whole(&self, filter: &Filter) -> bool {
        let summary = &self.summary;
        let (start, end) = (summary.start_ns, summary.start_ns.saturating_add(summary.duration_ns));
        let is_timed = filter.from_ns != 0 || filter.to_ns != 0;
        // Where no time is known, no interval touches it.
        let touches = !is_timed || start != 0 && start <= filter.start_max() && end >= filter.from_ns;
        touches
            && (filter.trigger == TriggerId::default()
                || summary.fired.iter().any(|fired| fired.trigger == filter.trigger))
    }

    fn matches_span(&self, filter: &Filter) -> bool {
        if filter.service.is_empty() && filter.operation.is_empty() {
            let asks_nothing = filter.min_duration_ns == 0 && !filter.errors_only;
            return asks_nothing || self.whole.matches(filter);
        }
        let is_any = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
        self.facts.iter().any(|fact| {
            is_any(&filter.service, &fact.service)
                && is_any(&filter.operation, &fact.operation)
                && fact.longest.matches(filter)
        })
    }
}

/// Returns the line of a trace that was assembled from `stored`.
pub(super) fn line(stored: &Stored, trace: &Trace, certificate: &Certificate) -> Line {
    let (facts, whole, is_cut) = facts(trace);
    let (start_ns, end_ns) = trace.interval_ns().unwrap_or_default();
    let (root_service, root_operation) = root(trace);
    let of_processes = trace.processes.iter().map(|process| &*process.service);
    let services: BTreeSet<_> = of_processes.chain(trace.spans.iter().map(|span| &*span.service)).collect();
    let received = stored.received();
    let summary = Summary {
        trace: trace.id,
        start_ns,
        duration_ns: end_ns.saturating_sub(start_ns),
        root_service,
        root_operation,
        services: services.into_iter().filter(|name| !name.is_empty()).map(name).take(SERVICES_MAX).collect(),
        n_spans: trace.spans.len() as u64,
        n_errors: trace.spans.iter().filter(|span| is_error(span)).count() as u64,
        n_agents: received.len() as u64,
        bytes: received.values().map(|received| received.amount.bytes).sum(),
        n_deaths: trace.processes.iter().filter(|process| process.death.is_some()).count() as u64,
        fired: stored.fired.clone(),
        names: trace.names.only(|trigger| stored.fired.iter().any(|fired| fired.trigger == trigger)),
        verdict: certificate.verdict,
        gaps: gaps(certificate),
    };
    let mut ends = trace.spans.iter().map(|span| span.end_ns).chain(trace.visits.iter().map(|visit| visit.end_ns));
    let is_open = ends.any(|end| end.is_none());
    Line { summary, facts, whole, is_cut, is_open }
}

/// Returns what speaks against completeness: where that is much, only how much of each kind.
fn gaps(certificate: &Certificate) -> Vec<Gap> {
    if certificate.gaps.len() <= GAPS_MAX {
        return certificate.gaps.clone();
    }
    let mut by_kind: BTreeMap<GapKind, u64> = BTreeMap::new();
    for gap in &certificate.gaps {
        let n = by_kind.entry(gap.kind).or_default();
        *n = n.saturating_add(gap.n);
    }
    by_kind.into_iter().map(|(kind, n)| Gap { kind, agent: AgentId::NONE, n }).collect()
}

fn is_error(span: &Span) -> bool {
    span.status == StatusCode::Error
}

/// Returns the service and the name of what came first: a span whose parent is not here, else a visit.
fn root(trace: &Trace) -> (String, String) {
    let service = |process_idx: usize| trace.processes.get(process_idx).map_or("", |process| &*process.service);
    let has_wall_time = |process_idx: usize| {
        trace.processes.get(process_idx).is_some_and(|process| process.clock == ProcessClock::Wall)
    };
    let ids: BTreeSet<_> = trace.spans.iter().map(|span| span.id).collect();
    let roots = trace.spans.iter().filter(|span| span.parent.is_none() || !ids.contains(&span.parent));
    // One whose start was lost, or whose time cannot be compared, is the root only where nothing better is.
    let rank = |span: &&Span| (!has_wall_time(span.process_idx), !span.is_started, span.start_ns, span.id);
    if let Some(span) = roots.min_by_key(rank) {
        return (name(&trace.service_of(span)), name(&span.name));
    }
    let visit = trace.visits.iter().min_by_key(|visit| (!has_wall_time(visit.process_idx), visit.start_ns));
    (name(visit.map_or("", |visit| service(visit.process_idx))), String::new())
}

/// Returns a name as summaries have it.
fn name(text: &str) -> String {
    text[..text.floor_char_boundary(NAME_MAX_BYTES)].to_owned()
}

fn facts(trace: &Trace) -> (Vec<Fact>, Longest, bool) {
    let mut by_name: BTreeMap<(Arc<str>, Arc<str>), (Longest, u8)> = BTreeMap::new();
    let mut whole = Longest::default();
    let mut is_cut = false;
    let nameless: Arc<str> = Arc::default();
    let took = |start_ns: u64, end_ns: Option<u64>| end_ns.map_or(0, |end| end.saturating_sub(start_ns));
    let spans = trace.spans.iter();
    let spans = spans.map(|s| (trace.service_of(s), &s.name, took(s.start_ns, s.end_ns), is_error(s), s.kind));
    // Visits beside spans of their process repeat what these say.
    let with_spans: BTreeSet<_> = trace.spans.iter().map(|span| span.process_idx).collect();
    let visits = trace.visits.iter().filter(|visit| !with_spans.contains(&visit.process_idx));
    let of_process = |process_idx: usize| {
        trace.processes.get(process_idx).map(|process| process.service.clone()).unwrap_or_default()
    };
    let visits =
        visits.map(|v| (of_process(v.process_idx), &nameless, took(v.start_ns, v.end_ns), false, SpanKind::Internal));
    for (service, operation, duration_ns, is_error, kind) in spans.chain(visits) {
        whole.add(duration_ns, is_error);
        let key = (service, operation.clone());
        let is_long = key.0.len().max(key.1.len()) > NAME_MAX_BYTES;
        if is_long || by_name.len() >= FACTS_MAX && !by_name.contains_key(&key) {
            is_cut = true;
            continue;
        }
        let (longest, kinds) = by_name.entry(key).or_default();
        longest.add(duration_ns, is_error);
        *kinds |= 1 << kind as u8;
    }
    let fact = |((service, operation), (longest, kinds))| Fact { service, operation, longest, kinds };
    let facts = by_name.into_iter().map(fact);
    (facts.collect(), whole, is_cut)
}
