//! Under which flat span another hangs.
//!
//! Called once for each trace, before its spans are made.

use super::Part;
use crate::ids::SpanId;
use crate::trace::{Span, Trace};
use std::collections::BTreeMap;

/// Where something began, and for whom: process, thread and cause, which a visit and the spans in it have in common.
type Place = (usize, u32, SpanId);

/// See [`super::FlatTrace`], parents.
pub(super) struct Nesting {
    /// Visits by place and start: their end, and the id under which they are spans.
    visits: BTreeMap<(Place, u64), (u64, SpanId)>,
    /// The visits that stand for ids which callees name.
    stand_ins: BTreeMap<SpanId, SpanId>,
}

impl Nesting {
    pub(super) fn of(trace: &Trace) -> Self {
        let (mut visits, mut stand_ins) = (BTreeMap::new(), BTreeMap::new());
        for visit in &trace.visits {
            let id = trace.visit_id(visit);
            let place = (visit.process_idx, visit.tid, visit.parent);
            visits.insert((place, visit.start_ns), (visit.end_ns.unwrap_or(u64::MAX), id));
            // A visit of which only a later part is there names its cause in its calls.
            stand_ins.extend(visit.calls.iter().filter(|call| **call != visit.parent).map(|call| (*call, id)));
        }
        // A client may name anybody's span.
        if !stand_ins.is_empty() {
            trace.spans.iter().for_each(|span| _ = stand_ins.remove(&span.id));
        }
        Self { visits, stand_ins }
    }

    pub(super) fn parent(&self, part: Part<'_>) -> SpanId {
        match part {
            Part::Span(span) => self.visit_around(span).unwrap_or_else(|| self.meant(span.parent)),
            Part::Visit(visit) => self.meant(visit.parent),
        }
    }

    /// Returns the visit in which a span began.
    fn visit_around(&self, span: &Span) -> Option<SpanId> {
        let place = (span.process_idx, span.tid, span.parent);
        let (_, (end_ns, id)) = self.visits.range((place, 0)..=(place, span.start_ns)).next_back()?;
        (span.start_ns <= *end_ns).then_some(*id)
    }

    fn meant(&self, named: SpanId) -> SpanId {
        self.stand_ins.get(&named).copied().unwrap_or(named)
    }
}
