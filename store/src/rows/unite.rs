//! Makes one trace of what several parts hold of it: spans that came twice are one, facts of the whole are merged.
//!
//! Called by compaction, for whole parts, and by whoever reads a trace from several; so it makes no difference to a reader which parts were
//! joined. Pure. What counts as the same, and which of two wins, stands in `docs/spec/parts.md` section 12.

use crate::rows::{Energy, FiredTrigger, ReportRow, Sampling, SliceRow, SpanRow, TraceFacts, flag, source};
use backsight_core::ids::SpanId;
use std::collections::HashSet;

/// The most spans with one id and one start that are held against each other; beyond, what came twice stays.
const ALIKE_MAX: usize = 64;
/// What the store says of a span beside what it was told.
const OWN_FLAGS: i32 = flag::LATE | flag::ID_CLASH;

/// The spans of a trace.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct United {
    /// By start and id; equal ones in the order in which they came.
    pub spans: Vec<SpanRow<'static>>,
    /// By piece: the energy of the spans of it that are not in `spans`, as others stand for them.
    pub dropped_nj: Vec<i128>,
    /// The piece whose recorded rows stand: the newest that has any. Those of the pieces before it were made again with it.
    pub recorded: Option<usize>,
}

/// Unites the spans of one trace, whose `pieces` come from as many parts, the oldest first.
///
/// # Shape
/// All rows name resources in one list. Of spans with one id and one start, those with the same content are one, the first: the content is
/// all but the flags late and id clash, time on the critical path and sampling weight. Of the recorder's rows only those of the newest part
/// that has any stay: they were made of all that was reported of the trace.
/// # Cost
/// Sorts the rows; compares those of one id and start, at most 64 with each other.
pub fn spans(pieces: Vec<Vec<SpanRow<'static>>>) -> United {
    let mut dropped_nj = vec![0; pieces.len()];
    let is_recorded = |span: &SpanRow<'_>| span.source == source::RECORDER;
    let recorded = pieces.iter().rposition(|rows| rows.iter().any(is_recorded));
    let of_piece = |(piece, rows): (usize, Vec<_>)| rows.into_iter().map(move |span| Numbered { piece, span });
    let mut rows: Vec<Numbered> = pieces.into_iter().enumerate().flat_map(of_piece).collect();
    rows.retain(|row| {
        let stays = !is_recorded(&row.span) || Some(row.piece) == recorded;
        if !stays {
            dropped_nj[row.piece] += row.span.energy.as_ref().map_or(0, sum_nj);
        }
        stays
    });
    rows.sort_by_key(Numbered::key);
    let mut spans = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter().peekable();
    let mut alike = Vec::new();
    while let Some(row) = rows.next() {
        let key = row.key();
        alike.push(row);
        while let Some(next) = rows.next_if(|next| next.key() == key) {
            alike.push(next);
        }
        if alike.len() > 1 {
            unite_alike(&mut alike, &mut dropped_nj);
        }
        spans.extend(alike.drain(..).map(|row| row.span));
    }
    United { spans, dropped_nj, recorded }
}

struct Numbered {
    piece: usize,
    span: SpanRow<'static>,
}

impl Numbered {
    fn key(&self) -> (i64, SpanId) {
        (self.span.start_ns, self.span.id)
    }
}

/// Leaves one of those that are the same, among spans with one id and one start.
fn unite_alike(rows: &mut Vec<Numbered>, dropped_nj: &mut [i128]) {
    let mut kept: Vec<Numbered> = Vec::with_capacity(rows.len());
    for row in rows.drain(..) {
        if kept.iter().rev().take(ALIKE_MAX).any(|kept| is_same(&kept.span, &row.span)) {
            dropped_nj[row.piece] += row.span.energy.as_ref().map_or(0, sum_nj);
        } else {
            kept.push(row);
        }
    }
    *rows = kept;
}

/// Returns whether two spans of one id and start say the same.
fn is_same(a: &SpanRow<'_>, b: &SpanRow<'_>) -> bool {
    a.flags & !OWN_FLAGS == b.flags & !OWN_FLAGS
        && (a.trace, a.parent, a.duration_ns) == (b.trace, b.parent, b.duration_ns)
        && (&a.service, &a.operation, &a.scope) == (&b.service, &b.operation, &b.scope)
        && (&a.host, &a.process, &a.thread) == (&b.host, &b.process, &b.thread)
        && (a.kind, a.status, a.source, &a.status_message) == (b.kind, b.status, b.source, &b.status_message)
        && (&a.trace_state, a.dropped, a.resource) == (&b.trace_state, b.dropped, b.resource)
        && (&a.attributes, &a.events, &a.links) == (&b.attributes, &b.events, &b.links)
        && (&a.energy, &a.spec_versions) == (&b.energy, &b.spec_versions)
}

/// Merges what is known of one trace beyond its spans, where the parts hold `pieces`, the oldest first, and [`spans`] left out so much
/// energy of each.
///
/// # Shape
/// Triggers and clocks are united. Certificate and completeness, sampling, entry and what belongs to no span are those of the newest part
/// that says something. The energy is the sum, without what was left out. Numbers of records and times of coming are the greatest, so is
/// rarity; flags are or-ed.
pub fn facts(pieces: &[TraceFacts<'static>], dropped_nj: &[i128]) -> TraceFacts<'static> {
    let newest_first = || pieces.iter().rev();
    let of_certificate = newest_first()
        .find(|facts| facts.certificate.is_some())
        .or_else(|| newest_first().find(|facts| facts.completeness != 0));
    let none = Sampling::default();
    let sampling = newest_first().map(|facts| &facts.sampling).find(|sampling| **sampling != none);
    let mut merged = TraceFacts {
        entry: newest_first().find_map(|facts| facts.entry.clone()),
        sampling: sampling.unwrap_or(&none).clone(),
        completeness: of_certificate.map_or(0, |facts| facts.completeness),
        certificate: of_certificate.and_then(|facts| facts.certificate.clone()),
        energy_no_span: newest_first().find_map(|facts| facts.energy_no_span.clone()),
        energy_nj: energy_nj(pieces, dropped_nj),
        rarity: pieces.iter().map(|facts| facts.rarity).fold(0.0, f32::max),
        wal_seq: pieces.iter().map(|facts| facts.wal_seq).max().unwrap_or(0),
        ingest_ns: pieces.iter().map(|facts| facts.ingest_ns).max().unwrap_or(0),
        flags: pieces.iter().fold(0, |flags, facts| flags | facts.flags),
        ..TraceFacts::default()
    };
    for trigger in pieces.iter().flat_map(|facts| &facts.triggers) {
        put_new(&mut merged.triggers, trigger, FiredTrigger::eq);
    }
    for clock in newest_first().flat_map(|facts| &facts.clock) {
        put_new(&mut merged.clock, clock, |a, b| a.host == b.host);
    }
    merged
}

/// Adds `item`, unless there is one that is the same.
fn put_new<T: Clone>(items: &mut Vec<T>, item: &T, is_same: impl Fn(&T, &T) -> bool) {
    if !items.iter().any(|other| is_same(other, item)) {
        items.push(item.clone());
    }
}

/// Returns the energy of the whole trace, where a piece says any: all that its spans have, and what belongs to none of them.
fn energy_nj(pieces: &[TraceFacts<'static>], dropped_nj: &[i128]) -> Option<i64> {
    if pieces.iter().all(|facts| facts.energy_nj.is_none()) {
        return None;
    }
    let said: i128 = pieces.iter().filter_map(|facts| facts.energy_nj).map(i128::from).sum();
    // What belongs to no span was said again by a newer piece.
    let superseded: i128 =
        pieces.iter().rev().filter_map(|facts| facts.energy_no_span.as_ref()).skip(1).map(sum_nj).sum();
    let sum = said - dropped_nj.iter().sum::<i128>() - superseded;
    Some(sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

fn sum_nj(energy: &Energy<'_>) -> i128 {
    energy.components.iter().map(|joules| i128::from(joules.nj)).sum()
}

/// Unites the slices of one trace, whose `pieces` come from as many parts, the oldest first: by start, those that are equal in everything
/// once, as a thread is once at one instant. Those of the pieces before `recorded` were made again with it ([`United::recorded`]).
///
/// # Cost
/// Sorts the rows; compares those of one start, at most 64 with each other.
pub fn slices(pieces: Vec<Vec<SliceRow<'static>>>, recorded: usize) -> Vec<SliceRow<'static>> {
    let mut rows: Vec<_> = pieces.into_iter().skip(recorded).flatten().collect();
    rows.sort_by_key(|slice| slice.start_ns);
    let mut united: Vec<SliceRow<'static>> = Vec::with_capacity(rows.len());
    for row in rows {
        let alike = united.iter().rev().take(ALIKE_MAX).take_while(|slice| slice.start_ns == row.start_ns);
        if !{ alike }.any(|slice| *slice == row) {
            united.push(row);
        }
    }
    united
}

/// Unites the reports of one trace, whose `pieces` come from as many parts, the oldest first: all of them as they came, the same bytes of one
/// kind once.
pub fn reports(pieces: Vec<Vec<ReportRow<'static>>>) -> Vec<ReportRow<'static>> {
    let mut seen = HashSet::new();
    let mut rows: Vec<_> = pieces.into_iter().flatten().collect();
    rows.retain(|report| seen.insert((report.kind, report.payload.clone())));
    rows
}

#[cfg(test)]
mod tests;
