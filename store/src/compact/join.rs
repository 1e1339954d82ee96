//! Makes one part of the rows of several, or of those of some traces in them.
//!
//! Called by compaction, and by retention, which moves pinned traces. Nothing of the parents changes. Files are checked against their
//! checksums first: what is damaged is not written again as if it were sound.

use super::aggregates::merged;
use super::census::Census;
use super::plan::{self, Piece, Plan};
use super::{CompactError, GoOn, Settings, TRACE_MAX_BYTES, TRACE_ROWS_MAX, go_on};
use crate::batch::{Batch, BatchFull};
use crate::manifest::entry::PartEntry;
use crate::objects::Objects;
use crate::part::read::aggs::Aggs;
use crate::part::read::{File, Reports, Scan, Slices, Spans, Traces, verify_until};
use crate::part::write::Cut;
use crate::part::{PAGE_ROWS, PartError, PartId, Place, Shelf, Sizes, Stream};
use crate::promote::Promoted;
use crate::rows::{ResourceId, SpanRow, TraceFacts, unite};
use crate::schema::Table;
use backsight_core::ids::TraceId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// Rows that are read at once, of all parts together.
const RUN_ROWS: usize = 32_768;
/// The most bytes of columns that they are read from, but for a single trace.
const RUN_MAX_BYTES: usize = 64 << 20;
const ZSTD_LEVEL: i32 = 3;

/// What is to be joined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) objects: &'a dyn Objects,
    /// The parts, at most 255, the oldest first.
    pub(crate) parents: &'a [PartEntry],
    /// The part behind them.
    pub(crate) next: Option<PartId>,
    /// The traces that are wanted; all where nothing is said.
    pub(crate) only: Option<&'a BTreeSet<TraceId>>,
    pub(crate) shelf: Shelf,
    pub(crate) settings: Settings<'a>,
}

/// A part that is read.
struct Parent {
    spans: Option<Spans>,
    traces: Option<Traces>,
    slices: Option<Slices>,
    reports: Option<Reports>,
    aggs: Option<Aggs>,
    /// For each resource of it the number in the new part, once a span has needed it.
    resources: Vec<Option<ResourceId>>,
}

/// Writes the part, and returns what a manifest says of it; `None` where no rows are wanted.
pub(crate) fn join(work: &Work<'_>, ask: &mut GoOn<'_>) -> Result<Option<PartEntry>, CompactError> {
    let parents = open(work, ask)?;
    let plan = plan(work, &parents, ask)?;
    let aggregates = merged(parents.iter().filter_map(|parent| parent.aggs.as_ref()), ask)?;
    if plan.is_empty() && aggregates.is_empty() {
        return Ok(None);
    }
    let (promoted, sizes) = promoted(work, &parents, &plan, ask)?;
    let last = work.parents.last().map_or(PartId::new(0, 0), |part| part.id);
    let id = last.between(work.next, work.settings.random).ok_or(CompactError::NoPlace { part: last })?;
    let ids: Vec<_> = work.parents.iter().map(|part| part.id).collect();
    let cut = Cut {
        id,
        writer: work.settings.writer,
        commit: work.settings.commit,
        before: &[],
        forced: work.settings.forced,
        zstd_level: ZSTD_LEVEL,
        parents: &ids,
    };
    let stream = Stream::new(Place { objects: work.objects, shelf: work.shelf }, cut, promoted, sizes);
    let batch = Batch::new(work.settings.random as u64);
    let mut joining =
        Joining { parents, plan: &plan, batch, known: HashMap::new(), made_again: BTreeMap::new(), stream };
    joining.traces(ask)?;
    joining.slices(ask)?;
    joining.reports(ask)?;
    let Joining { batch, mut stream, .. } = joining;
    if !aggregates.is_empty() {
        stream.push_aggregates(&aggregates)?;
    }
    Ok(Some(stream.finish(&batch.resources)?))
}

fn open(work: &Work<'_>, ask: &mut GoOn<'_>) -> Result<Vec<Parent>, CompactError> {
    let mut parents = Vec::with_capacity(work.parents.len());
    for part in work.parents {
        let mut open = |table: Table| -> Result<Option<File>, CompactError> {
            let Some(entry) = part.file(table) else { return Ok(None) };
            if verify_until(work.objects, entry, ask)?.is_break() {
                return Err(CompactError::Interrupted);
            }
            Ok(Some(File::open(work.objects, entry)?))
        };
        let spans = open(Table::Spans)?.map(Spans::new).transpose()?;
        let traces = open(Table::Traces)?.map(Traces::new).transpose()?;
        let slices = open(Table::Slices)?.map(Slices::new).transpose()?;
        let reports = open(Table::Reports)?.map(Reports::new).transpose()?;
        // What was counted is of all traces: it stays where it is when some of them are moved.
        let aggs = if work.only.is_none() { open(Table::Agg)?.map(Aggs::new).transpose()? } else { None };
        let resources = vec![None; spans.as_ref().map_or(0, |spans| spans.resources().len())];
        parents.push(Parent { spans, traces, slices, reports, aggs, resources });
    }
    Ok(parents)
}

fn plan(work: &Work<'_>, parents: &[Parent], ask: &mut GoOn<'_>) -> Result<Plan, CompactError> {
    let mut plan = Plan::default();
    for (idx, parent) in parents.iter().enumerate() {
        let part = u8::try_from(idx).map_err(|_| CompactError::TooMuch { what: "parts" })?;
        match (&parent.traces, &parent.spans) {
            (Some(traces), spans) => {
                let n_spans = spans.as_ref().map_or(0, |spans| spans.file().n_rows());
                plan.add_traces(part, traces, n_spans, work.only, ask)?;
            }
            (None, Some(spans)) => return Err(CompactError::damaged(spans.file().path(), "its part has no traces")),
            (None, None) => {}
        }
        if let Some(slices) = &parent.slices {
            plan::add_rows(&mut plan.slices, part, slices.scan_places()?, work.only, ask)?;
        }
        if let Some(reports) = &parent.reports {
            plan::add_rows(&mut plan.reports, part, reports.scan_places()?, work.only, ask)?;
        }
    }
    plan.arrange();
    Ok(plan)
}

/// Decides which keys get a column.
fn promoted(
    work: &Work<'_>,
    parents: &[Parent],
    plan: &Plan,
    ask: &mut GoOn<'_>,
) -> Result<(Vec<Promoted>, Sizes), CompactError> {
    let n_rows = |pieces: &[Piece]| pieces.iter().map(|piece| u64::from(piece.n_rows)).sum::<u64>();
    let sizes = Sizes {
        n_spans: n_rows(&plan.traces),
        n_traces: plan.traces.len() as u64,
        n_slices: n_rows(&plan.slices),
        ..Sizes::default()
    };
    if work.only.is_some() {
        // Few rows, whose columns are those that they had.
        let promoted = work.parents.last().map(|part| part.promoted.clone()).unwrap_or_default();
        return Ok((promoted, Sizes { n_map_values: sizes.n_spans, ..sizes }));
    }
    let before: Vec<_> = work.parents.iter().flat_map(|part| part.promoted.clone()).collect();
    let mut census = Census::new(before.iter(), work.settings.forced);
    for (part, parent) in work.parents.iter().zip(parents) {
        if let Some(spans) = &parent.spans {
            census.add(spans, &part.promoted, ask)?;
        }
    }
    let promoted = census.promote(sizes.n_spans, &before, work.settings.forced);
    let counted = census.sizes(&promoted);
    Ok((promoted, Sizes { n_distinct: counted.n_distinct, n_map_values: counted.n_map_values, ..sizes }))
}

struct Joining<'a> {
    parents: Vec<Parent>,
    plan: &'a Plan,
    /// Rows that wait to be written, and all resources so far.
    batch: Batch,
    /// Resources so far, by how they look: some look alike and are not.
    known: HashMap<String, Vec<ResourceId>>,
    /// Traces with slices in parts before the one whose recorded rows stand, and that part.
    made_again: BTreeMap<TraceId, u8>,
    stream: Stream<'a>,
}

impl<'a> Joining<'a> {
    fn traces(&mut self, ask: &mut GoOn<'_>) -> Result<(), CompactError> {
        let mut runs = Runs::new(&self.plan.traces);
        while let Some(run) = runs.next()? {
            let mut left = run.bytes_max;
            let spans = gather(run.pieces, &mut left, ask, Piece::rows, |part, ranges| {
                self.parents[part].spans.as_ref().map(|spans| spans.scan(ranges)).transpose()
            })?;
            let Some(spans) = spans else {
                runs.was_too_long()?;
                continue;
            };
            let trace_row = |piece: &Piece| piece.trace_row.into()..u64::from(piece.trace_row) + 1;
            let facts = gather(run.pieces, &mut left, ask, trace_row, |part, ranges| {
                self.parents[part].traces.as_ref().map(|traces| traces.scan(ranges)).transpose()
            })?;
            let Some(facts) = facts else {
                runs.was_too_long()?;
                continue;
            };
            let facts = facts.into_iter().map(|rows| rows.into_iter().map(|row| row.facts).next().unwrap_or_default());
            self.put_traces(run.pieces, spans, facts.collect(), ask)?;
            runs.was_done();
        }
        self.flush(Stream::push_traces)
    }

    /// Unites the traces of a run, whose rows come by piece.
    fn put_traces(
        &mut self,
        pieces: &[Piece],
        spans: Vec<Vec<SpanRow<'static>>>,
        facts: Vec<TraceFacts<'static>>,
        ask: &mut GoOn<'_>,
    ) -> Result<(), CompactError> {
        let (mut spans, mut facts) = (spans.into_iter(), facts.into_iter());
        for of_trace in pieces.chunk_by(|a, b| a.trace == b.trace) {
            let mut rows: Vec<_> = spans.by_ref().take(of_trace.len()).collect();
            for (piece, rows) in of_trace.iter().zip(&mut rows) {
                for row in rows {
                    row.resource = self.resource(piece, row)?;
                }
            }
            let facts: Vec<_> = facts.by_ref().take(of_trace.len()).collect();
            let united = unite::spans(rows);
            let facts = unite::facts(&facts, &united.dropped_nj);
            if let Some(piece) = united.recorded.map(|idx| &of_trace[idx])
                && self.plan.has_older_slices(piece, piece.part)
            {
                self.made_again.insert(piece.trace, piece.part);
            }
            if united.spans.is_empty() || facts != TraceFacts::default() {
                self.batch.set_trace(of_trace[0].trace, &facts).map_err(too_much)?;
            }
            united.spans.iter().try_for_each(|span| self.batch.push_span(span)).map_err(too_much)?;
            if self.batch.n_spans() + self.batch.n_traces() >= PAGE_ROWS {
                self.flush(Stream::push_traces)?;
                go_on(ask)?;
            }
        }
        Ok(())
    }

    /// Writes what waits as rows of the table that `push` is of.
    fn flush(
        &mut self,
        push: impl FnOnce(&mut Stream<'a>, &Batch) -> Result<(), PartError>,
    ) -> Result<(), CompactError> {
        if !self.batch.is_empty() {
            push(&mut self.stream, &self.batch)?;
            self.batch.clear();
        }
        Ok(())
    }

    fn slices(&mut self, ask: &mut GoOn<'_>) -> Result<(), CompactError> {
        let mut runs = Runs::new(&self.plan.slices);
        while let Some(run) = runs.next()? {
            let mut left = run.bytes_max;
            let rows = gather(run.pieces, &mut left, ask, Piece::rows, |part, ranges| {
                self.parents[part].slices.as_ref().map(|slices| slices.scan(ranges)).transpose()
            })?;
            let Some(rows) = rows else {
                runs.was_too_long()?;
                continue;
            };
            let mut rows = rows.into_iter();
            for of_trace in run.pieces.chunk_by(|a, b| a.trace == b.trace) {
                let recorded_by = self.made_again.get(&of_trace[0].trace).copied().unwrap_or(0);
                let recorded = of_trace.partition_point(|piece| piece.part < recorded_by);
                let united = unite::slices(rows.by_ref().take(of_trace.len()).collect(), recorded);
                united.iter().try_for_each(|slice| self.batch.push_slice(slice)).map_err(too_much)?;
                if self.batch.n_slices() >= PAGE_ROWS {
                    self.flush(Stream::push_slices)?;
                    go_on(ask)?;
                }
            }
            runs.was_done();
        }
        self.flush(Stream::push_slices)
    }

    fn reports(&mut self, ask: &mut GoOn<'_>) -> Result<(), CompactError> {
        let mut runs = Runs::new(&self.plan.reports);
        while let Some(run) = runs.next()? {
            let mut left = run.bytes_max;
            let rows = gather(run.pieces, &mut left, ask, Piece::rows, |part, ranges| {
                self.parents[part].reports.as_ref().map(|reports| reports.scan(ranges)).transpose()
            })?;
            let Some(rows) = rows else {
                runs.was_too_long()?;
                continue;
            };
            let mut rows = rows.into_iter();
            for of_trace in run.pieces.chunk_by(|a, b| a.trace == b.trace) {
                let united = unite::reports(rows.by_ref().take(of_trace.len()).collect());
                united.iter().try_for_each(|report| self.batch.push_report(report)).map_err(too_much)?;
                if self.batch.n_reports() >= PAGE_ROWS {
                    self.flush(Stream::push_reports)?;
                    go_on(ask)?;
                }
            }
            self.flush(Stream::push_reports)?;
            runs.was_done();
        }
        Ok(())
    }

    /// Returns the number of a span's resource in the new part, and checks that the span is its trace's.
    fn resource(&mut self, piece: &Piece, row: &SpanRow<'static>) -> Result<ResourceId, CompactError> {
        let parent = &mut self.parents[usize::from(piece.part)];
        let Some(spans) = &parent.spans else { return Err(CompactError::TooMuch { what: "parts" }) };
        let place = parent.resources.get_mut(row.resource.0 as usize).filter(|_| row.trace == piece.trace);
        let Some(place) = place else {
            let why = "a span names a resource that there is not, or stands in another trace's rows";
            return Err(CompactError::damaged(spans.file().path(), why));
        };
        if let Some(id) = *place {
            return Ok(id);
        }
        let resource = &spans.resources()[row.resource.0 as usize];
        let alike = self.known.entry(format!("{resource:?}")).or_default();
        let same = alike.iter().find(|id| self.batch.resources[id.0 as usize] == *resource).copied();
        let id = match same {
            Some(id) => id,
            None => {
                let id = self.batch.push_resource(resource).map_err(too_much)?;
                alike.push(id);
                id
            }
        };
        *place = Some(id);
        Ok(id)
    }
}

fn too_much(full: BatchFull) -> CompactError {
    CompactError::TooMuch { what: full.what }
}

/// Pieces, run by run, each as long as memory allows.
struct Runs<'a> {
    pieces: &'a [Piece],
    at: usize,
    /// The pieces that are read at once now.
    run: Run<'a>,
    n_rows_max: usize,
}

/// Pieces that are read at once.
#[derive(Clone, Copy, Default)]
struct Run<'a> {
    pieces: &'a [Piece],
    n_rows: usize,
    is_one_trace: bool,
    bytes_max: usize,
}

impl<'a> Runs<'a> {
    fn new(pieces: &'a [Piece]) -> Self {
        Self { pieces, at: 0, run: Run::default(), n_rows_max: RUN_ROWS }
    }

    fn next(&mut self) -> Result<Option<Run<'a>>, CompactError> {
        let pieces = &self.pieces[plan::run(self.pieces, self.at, self.n_rows_max)];
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(None) };
        let n_rows = pieces.iter().map(Piece::n_counted).sum();
        if n_rows as u64 > TRACE_ROWS_MAX {
            return Err(CompactError::TooMuch { what: "rows of one trace" });
        }
        let is_one_trace = first.trace == last.trace;
        let bytes_max = if is_one_trace { TRACE_MAX_BYTES } else { RUN_MAX_BYTES };
        self.run = Run { pieces, n_rows, is_one_trace, bytes_max };
        Ok(Some(self.run))
    }

    /// Goes on behind the run.
    fn was_done(&mut self) {
        self.at += self.run.pieces.len();
        self.n_rows_max = RUN_ROWS.min(self.n_rows_max + self.n_rows_max / 8 + 1);
    }

    /// Tries the run again, with fewer rows.
    fn was_too_long(&mut self) -> Result<(), CompactError> {
        if self.run.is_one_trace {
            return Err(CompactError::TooMuch { what: "bytes of one trace" });
        }
        self.n_rows_max = (self.run.n_rows.min(self.n_rows_max) / 2).max(1);
        Ok(())
    }
}

/// Reads the rows of `pieces`, and returns them by piece; `None` where they have more than `left` bytes, which what was read is taken from.
fn gather<T>(
    pieces: &[Piece],
    left: &mut usize,
    ask: &mut GoOn<'_>,
    rows_of: impl Fn(&Piece) -> Range<u64>,
    scan: impl Fn(usize, &[Range<u64>]) -> Result<Option<Scan<T>>, PartError>,
) -> Result<Option<Vec<Vec<T>>>, CompactError> {
    let mut gathered: Vec<Vec<T>> = pieces.iter().map(|_| Vec::new()).collect();
    let n_parts = pieces.iter().map(|piece| usize::from(piece.part) + 1).max().unwrap_or(0);
    for part in 0..n_parts {
        let is_wanted = |idx: &usize| usize::from(pieces[*idx].part) == part && !rows_of(&pieces[*idx]).is_empty();
        let mut of_part: Vec<usize> = (0..pieces.len()).filter(is_wanted).collect();
        of_part.sort_unstable_by_key(|idx| rows_of(&pieces[*idx]).start);
        let ranges: Vec<_> = of_part.iter().map(|idx| rows_of(&pieces[*idx])).collect();
        let Some(mut scan) = scan(part, &ranges)? else { continue };
        // Rows come in the order of the ranges.
        let mut places = of_part.iter().flat_map(|idx| std::iter::repeat_n(*idx, n_of(rows_of(&pieces[*idx]))));
        while let Some(decoded) = scan.next()? {
            let Some(rest) = left.checked_sub(decoded.bytes) else { return Ok(None) };
            *left = rest;
            for (row, place) in decoded.rows.into_iter().zip(places.by_ref()) {
                gathered[place].push(row);
            }
            go_on(ask)?;
        }
        if places.next().is_some() {
            return Err(CompactError::damaged(scan.path(), "it has fewer rows than it says"));
        }
    }
    Ok(Some(gathered))
}

fn n_of(rows: Range<u64>) -> usize {
    rows.end.saturating_sub(rows.start) as usize
}
