//! Traces by their ids: where their rows stand, and the rows of some of them at once.
//!
//! Called by `find` for what it found, and for one trace whose id somebody has. A part that cannot be read is named; others answer.

use super::cache::{Cache, OpenPart};
use super::recent::Recent;
use super::skeleton::{Skeleton, push_range};
use crate::archive::Partial;
use crate::rows::TraceRows;
use crate::rows::stored::{Union, clamped};
use backsight_core::ids::TraceId;
use backsight_store::manifest::entry::PartEntry;
use backsight_store::objects::ObjectError;
use backsight_store::part::{PartError, PartId};
use backsight_store::view::View;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most spans of one trace that are read of one part.
pub(super) const TRACE_SPANS_MAX: u64 = 100_000;

/// Reads one view.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    cache: &'a Cache,
    pub(super) view: View,
    pub(super) recent: Recent,
    /// Parts in their order: what stands in a later one counts.
    order: Vec<PartId>,
    /// Parts that could not be read, and why.
    pub(super) lost: BTreeMap<PartId, Partial>,
}

/// Where a trace stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Extent {
    /// Its spans, those that came twice counted twice.
    pub(super) n_spans: u64,
    /// Those of them that are in no part yet.
    pub(super) n_recent: u64,
    /// Its first start.
    pub(super) start_ns: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(cache: &'a Cache, view: View) -> Self {
        let order = view.manifest.parts.keys().copied().collect();
        Self { cache, recent: Recent::new(&view.batches), view, order, lost: BTreeMap::new() }
    }

    /// Does something with a part that may be one that cannot be read; then the part is lost, and the answer `None`.
    pub(super) fn try_part<T>(
        &mut self,
        id: PartId,
        read: impl FnOnce(&OpenPart) -> Result<T, PartError>,
    ) -> Option<T> {
        let entry = self.view.manifest.parts.get(&id)?;
        if has_no_rows(entry) || self.lost.contains_key(&id) {
            return None;
        }
        let part = self.cache.part(entry);
        let answer = read(&part);
        self.cache.settle(&part);
        answer.map_err(|error| self.lost.insert(id, partial(&error))).ok()
    }

    /// Returns where a trace stands, by Bloom filters and what is in memory; its spans are not read.
    pub(super) fn extent(&mut self, trace: TraceId) -> Extent {
        let (n_spans, start_ns) = self.recent.extent(trace);
        let mut extent = Extent { n_spans, n_recent: n_spans, start_ns };
        for idx in 0..self.order.len() {
            let of_part = self.try_part(self.order[idx], |part| {
                let Some((skeleton, place)) = find(part, trace)? else { return Ok(None) };
                let n_spans = skeleton.n_rows(place);
                Ok((n_spans > 0).then(|| (n_spans, clamped(skeleton.starts[place]))))
            });
            if let Some((n_spans, start_ns)) = of_part.flatten() {
                extent.n_spans += n_spans;
                extent.start_ns = Some(extent.start_ns.map_or(start_ns, |before| before.min(start_ns)));
            }
        }
        extent
    }

    /// Returns those of `traces` of which anything is known, each as a whole.
    ///
    /// # Cost
    /// Reads each part that has one of them once. About 1 KB a span; the caller bounds the spans.
    pub(super) fn read(&mut self, traces: &[TraceId]) -> Vec<TraceRows> {
        let mut unions: BTreeMap<_, _> = traces.iter().map(|trace| (*trace, Union::new(*trace))).collect();
        let mut n_left_out = 0;
        for idx in 0..self.order.len() {
            n_left_out += self.try_part(self.order[idx], |part| add_part(part, &mut unions)).unwrap_or(0);
        }
        for (trace, union) in &mut unions {
            self.recent.add_to(union, *trace);
        }
        let mut rows: Vec<_> = unions.into_values().filter_map(Union::finish).collect();
        for trace in &mut rows {
            if n_left_out > 0 && trace.spans.len() as u64 >= TRACE_SPANS_MAX {
                trace.facts.warnings.push(format!("only {TRACE_SPANS_MAX} of its spans in a part are shown"));
            }
            let unread = |lost: &Partial| format!("spans of it may be missing: {}", lost.what);
            trace.facts.warnings.extend(self.lost.values().map(unread));
        }
        rows
    }
}

/// A part of slices alone has no traces.
fn has_no_rows(entry: &PartEntry) -> bool {
    entry.file(backsight_store::schema::Table::Traces).is_none()
}

/// Returns the place of a trace in a part; nothing is read where the Bloom filter excludes it.
fn find(part: &OpenPart, trace: TraceId) -> Result<Option<(&Skeleton, usize)>, PartError> {
    if part.traces()?.file().candidates(trace).is_empty() {
        return Ok(None);
    }
    let skeleton = part.skeleton()?;
    Ok(skeleton.find(trace).map(|place| (skeleton, place)))
}

/// Adds what a part has of each trace, and returns how many spans were too many.
fn add_part(part: &OpenPart, unions: &mut BTreeMap<TraceId, Union>) -> Result<u64, PartError> {
    let mut places = Vec::new();
    for trace in unions.keys() {
        places.extend(find(part, *trace)?.map(|(_, place)| place));
    }
    if places.is_empty() {
        return Ok(0);
    }
    places.sort_unstable();
    let skeleton = part.skeleton()?;
    let (mut of_traces, mut of_spans, mut n_left_out) = (Vec::new(), Vec::new(), 0);
    for place in &places {
        push_range(&mut of_traces, *place as u64..*place as u64 + 1);
        let rows = skeleton.rows(*place);
        let end = rows.end.min(rows.start + TRACE_SPANS_MAX);
        n_left_out += rows.end - end;
        push_range(&mut of_spans, rows.start..end);
    }
    for row in part.traces()?.read_ranges(&of_traces)? {
        if let Some(union) = unions.get_mut(&row.trace) {
            union.begin();
            union.add_facts(&row.facts);
        }
    }
    add_spans(part, &of_spans, unions)?;
    Ok(n_left_out)
}

fn add_spans(part: &OpenPart, rows: &[Range<u64>], unions: &mut BTreeMap<TraceId, Union>) -> Result<(), PartError> {
    if rows.is_empty() {
        return Ok(());
    }
    let spans = part.spans()?;
    for row in spans.read_ranges(rows)? {
        let resource = spans.resources().get(row.resource.0 as usize).map_or(&[][..], Vec::as_slice);
        let union = unions.get_mut(&row.trace);
        union
            .ok_or_else(|| spans.file().damaged("it has spans of other traces than its table says"))?
            .add_span(row, resource);
    }
    Ok(())
}

/// Returns what an answer says of a part that cannot be read.
fn partial(error: &PartError) -> Partial {
    let reason = match error {
        PartError::Object(ObjectError::Missing { .. }) => "missing",
        PartError::Object(_) => "unreadable",
        PartError::Newer { .. } => "newer",
        PartError::Foreign { .. } => "foreign",
        PartError::Damaged { .. } | PartError::Changed { .. } => "damaged",
        PartError::NoSuchRows { .. } | PartError::Encode { .. } => "damaged",
    };
    Partial { reason, what: error.to_string() }
}
