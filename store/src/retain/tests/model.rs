//! Cuts, compaction, retention and pins in random order, interleaved, stopped by crashes at any object operation: after each step a reader
//! sees exactly what was written, without what was retired.

use super::super::{Limits, Retention, came_ns};
use super::{HOUR_NS, pin, unpin};
use crate::compact::{CompactError, Settings, pick};
use crate::manifest::entry::PartEntry;
use crate::manifest::read::Reader;
use crate::manifest::write::Writer;
use crate::manifest::{Change, State};
use crate::objects::testing::{After, Fault, Memory};
use crate::part::PartId;
use crate::part::read::{Reports, Slices, Spans, Traces};
use crate::part::tests::{any, batch, open};
use crate::part::write::{Cut, write};
use crate::promote::Forced;
use crate::rows::unite;
use crate::rows::{Energy, ReportRow, ResourceId, SliceRow, SpanRow, TraceFacts, Value};
use crate::schema::Table;
use backsight_core::ids::TraceId;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

const MINUTE_NS: i64 = 60_000_000_000;
const N_TRACES: u64 = 5;

/// What a part says of one trace; resources by their names.
#[derive(Clone, PartialEq, Debug, Default)]
struct Piece {
    spans: Vec<SpanRow<'static>>,
    facts: TraceFacts<'static>,
    slices: Vec<SliceRow<'static>>,
    reports: Vec<ReportRow<'static>>,
}

type Pieces = BTreeMap<TraceId, Piece>;

/// A trace as a reader puts it together.
fn united(pieces: &[&Piece]) -> Piece {
    let spans = unite::spans(pieces.iter().map(|piece| piece.spans.clone()).collect());
    let facts: Vec<_> = pieces.iter().map(|piece| piece.facts.clone()).collect();
    Piece {
        facts: unite::facts(&facts, &spans.dropped_nj),
        spans: spans.spans,
        slices: unite::slices(pieces.iter().map(|piece| piece.slices.clone()).collect(), spans.recorded.unwrap_or(0)),
        reports: unite::reports(pieces.iter().map(|piece| piece.reports.clone()).collect()),
    }
}

fn whole(parts: &[Pieces]) -> Pieces {
    let traces: BTreeSet<TraceId> = parts.iter().flat_map(|pieces| pieces.keys().copied()).collect();
    let of_trace = |trace| united(&parts.iter().filter_map(|pieces| pieces.get(&trace)).collect::<Vec<_>>());
    traces.into_iter().map(|trace| (trace, of_trace(trace))).collect()
}

fn trace(n: u64) -> TraceId {
    TraceId::new(n % N_TRACES + 1, 7)
}

fn small(energy: &mut Energy<'static>) {
    energy.components.iter_mut().for_each(|joules| joules.nj %= 1 << 40);
}

/// Rows of one cut, of few traces, so that they are split, and partly told again.
fn rows() -> impl Strategy<Value = Pieces> {
    let piece = (vec(any::span(), 0..5), any::facts(), vec(any::slice(), 0..3), vec(0..6_u8, 0..4));
    vec((0..N_TRACES, piece), 1..4).prop_map(|rows| {
        let mut pieces = Pieces::new();
        for (n, (spans, facts, slices, reports)) in rows {
            let piece = pieces.entry(trace(n)).or_default();
            piece.spans.extend(spans.into_iter().map(|mut span| {
                span.energy.iter_mut().for_each(small);
                // What a part makes of keys that come twice is no matter here.
                let mut attributes = span.attributes.to_vec();
                attributes.sort_by(|a, b| a.key.cmp(&b.key));
                attributes.dedup_by(|a, b| a.key == b.key);
                let (events, links) = (Vec::new().into(), Vec::new().into());
                let source = span.source.rem_euclid(3);
                SpanRow { trace: trace(n), source, attributes: attributes.into(), events, links, ..span }
            }));
            piece.facts = TraceFacts { energy_nj: Some(facts.energy_nj.unwrap_or(0) % (1 << 40)), ..facts };
            piece.facts.energy_no_span.iter_mut().for_each(small);
            piece.slices.extend(slices.into_iter().map(|slice| SliceRow { trace: trace(n), ..slice }));
            piece.reports.extend(reports.into_iter().map(|of| ReportRow {
                trace: trace(n),
                kind: i16::from(of % 2),
                ingest_ns: i64::from(of),
                payload: vec![of / 2].into(),
            }));
        }
        pieces
    })
}

#[derive(Clone, Debug)]
enum Act {
    /// A cut, of new rows or of some that were there before, told again.
    Cut(Pieces, Option<prop::sample::Index>),
    /// Compaction, during which retention runs after so many breaths, or which stops there.
    Compact {
        breath: usize,
        stops: bool,
    },
    Retain,
    Pin(u64),
    Unpin(u64),
}

#[derive(Clone, Debug)]
struct Step {
    act: Act,
    minutes: i64,
    /// The writing step that fails, and how.
    fault: Option<(usize, Fault, After)>,
}

fn step() -> impl Strategy<Value = Step> {
    let act = prop_oneof![
        8 => (rows(), prop::option::weighted(0.4, any::<prop::sample::Index>())).prop_map(|(rows, again)| Act::Cut(rows, again)),
        4 => (0..60_usize, prop::bool::weighted(0.2)).prop_map(|(breath, stops)| Act::Compact { breath, stops }),
        2 => Just(Act::Retain),
        2 => (0..N_TRACES).prop_map(Act::Pin),
        1 => (0..N_TRACES).prop_map(Act::Unpin),
    ];
    let fault = (0..6_usize, any::<bool>(), any::<bool>()).prop_map(|(step, is_lost, is_dead)| {
        let fault = if is_lost { Fault::AnswerLost } else { Fault::Refused };
        (step, fault, if is_dead { After::Dead } else { After::Well })
    });
    let minutes = prop_oneof![20 => 0..2_i64, 1 => 0..90_i64];
    (act, minutes, prop::option::weighted(0.25, fault)).prop_map(|(act, minutes, fault)| Step { act, minutes, fault })
}

/// A store, and what must be in it.
struct World {
    objects: Memory,
    writer: Writer,
    retention: Retention,
    limits: Limits,
    now_ns: i64,
    n_random: u64,
    /// What each part was written with, also before it is known whether it was committed.
    cuts: BTreeMap<PartId, Pieces>,
    /// For each part that was ever seen the cuts and traces that are in it.
    holds: BTreeMap<PartId, BTreeSet<(PartId, TraceId)>>,
    /// What stands in each of them.
    read: BTreeMap<PartId, Pieces>,
    seen: State,
}

impl World {
    fn new(limits: Limits) -> Self {
        let objects = Memory::default();
        let writer = Writer::open(&objects, "w", 1).unwrap();
        let (retention, now_ns) = (Retention::new(limits), 10_000 * HOUR_NS);
        let (cuts, holds, read, seen) = Default::default();
        Self { objects, writer, retention, limits, now_ns, n_random: 1, cuts, holds, read, seen }
    }

    fn random(&mut self) -> u128 {
        self.n_random += 1;
        u128::from(self.n_random) << 32
    }

    /// Does a step, as far as its fault lets it.
    fn take(&mut self, step: &Step) {
        self.now_ns += step.minutes * MINUTE_NS;
        self.objects.set_now(self.now_ns);
        if let Some((at, fault, after)) = step.fault {
            self.objects.fail_at(at, fault, after);
        }
        match &step.act {
            Act::Cut(rows, again) => self.cut(rows.clone(), *again),
            Act::Compact { breath, stops } => self.compact(*breath, *stops),
            Act::Retain => self.retain(),
            Act::Pin(n) => drop(pin(&self.objects, &mut self.writer, trace(*n))),
            Act::Unpin(n) => drop(unpin(&self.objects, &mut self.writer, trace(*n))),
        }
        let n_steps = self.objects.heal();
        if step.fault.is_some_and(|(at, _, after)| n_steps > at && after == After::Dead) {
            let nonce = self.random() as u64;
            self.writer = Writer::open(&self.objects, "w", nonce).unwrap();
            self.retention = Retention::new(self.limits);
        }
        // Before the first settled commit nobody knows what stands; readers see it.
        let _ = self.writer.settle(&self.objects);
    }

    fn cut(&mut self, mut rows: Pieces, again: Option<prop::sample::Index>) {
        if let Some(again) = again.filter(|_| !self.cuts.is_empty()) {
            rows.extend(again.get(&self.cuts.values().cloned().collect::<Vec<_>>()).clone());
        }
        let id = PartId::new(self.now_ns as u64 / 1_000_000, self.random() << 32);
        let mut batch = batch();
        for (trace, piece) in &mut rows {
            piece.facts.ingest_ns = self.now_ns;
            batch.set_trace(*trace, &piece.facts).unwrap();
            piece.spans.iter().for_each(|span| batch.push_span(span).unwrap());
            piece.slices.iter().for_each(|slice| batch.push_slice(slice).unwrap());
            piece.reports.iter().for_each(|report| batch.push_report(report).unwrap());
        }
        self.cuts.insert(id, rows);
        let (forced, parents, before) = (Forced::default(), &[], &[]);
        let cut = Cut { id, writer: "w", commit: "c", before, forced: &forced, zstd_level: 1, parents };
        if let Ok(part) = write(&batch, &cut, &self.objects) {
            let _ = self.writer.commit(&self.objects, Change { add: vec![part], ..Change::default() });
        }
    }

    fn compact(&mut self, breath: usize, stops: bool) {
        // As after the hour: sizes do not matter.
        let now_ms = self.now_ns as u64 / 1_000_000 + 2 * 3_600_000;
        let Some(pick) = pick(self.writer.state(), now_ms, &BTreeSet::new()) else { return };
        let (random, objects) = (self.random(), self.objects.clone());
        let forced = Forced::default();
        let settings = Settings { writer: "w", commit: "c", forced: &forced, random };
        let mut n_breaths = 0;
        let mut breathe = || {
            n_breaths += 1;
            if n_breaths != breath {
                return ControlFlow::Continue(());
            }
            if stops {
                return ControlFlow::Break(());
            }
            self.retain();
            ControlFlow::Continue(())
        };
        let joined = pick.join(&objects, &settings, &mut breathe);
        match joined {
            Ok(change) => {
                if self.writer.commit(&self.objects, change).is_ok() {
                    self.retention.gave_up(&pick.parents, self.now_ns);
                }
            }
            Err(CompactError::Interrupted) => assert!(stops),
            Err(CompactError::Part(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn retain(&mut self) {
        let forced = Forced::default();
        let settings = Settings { writer: "w", commit: "c", forced: &forced, random: self.random() };
        let go_on = &mut || ControlFlow::Continue(());
        let _ = self.retention.run(&self.objects, &mut self.writer, &settings, None, self.now_ns, go_on);
    }

    /// Holds what a reader sees against what was written.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let state = Reader::open(&self.objects, "w").unwrap().state().clone();
        prop_assert_eq!(&state, self.writer.state());
        let paths: BTreeSet<String> = self.objects.paths().into_iter().collect();
        for part in state.parts.values() {
            // What is read once does not change, as long as it is there.
            prop_assert!(part.files.iter().all(|file| paths.contains(&file.path)), "files of {} are missing", part.id);
            if self.read.contains_key(&part.id) {
                continue;
            }
            let holds = self.expected(part, &state);
            let want: Vec<Pieces> = self.cuts.iter().map(|(cut, rows)| of_cut(&holds, *cut, rows)).collect();
            let found = read(&self.objects, part);
            prop_assert_eq!(whole(std::slice::from_ref(&found)), whole(&want), "part {}", part.id);
            self.holds.insert(part.id, holds);
            self.read.insert(part.id, found);
        }
        self.check_gone(&state)?;
        let parts: Vec<Pieces> = state.parts.keys().map(|id| self.read[id].clone()).collect();
        let held: Vec<_> = state.parts.keys().flat_map(|id| &self.holds[id]).copied().collect();
        let set: BTreeSet<_> = held.iter().copied().collect();
        prop_assert_eq!(set.len(), held.len(), "something stands twice");
        let want: Vec<Pieces> = self.cuts.iter().map(|(cut, rows)| of_cut(&set, *cut, rows)).collect();
        prop_assert_eq!(whole(&parts), whole(&want));
        self.seen = state;
        Ok(())
    }

    /// Returns the cuts and traces that a part should hold.
    fn expected(&self, part: &PartEntry, state: &State) -> BTreeSet<(PartId, TraceId)> {
        if let Some(holds) = self.holds.get(&part.id) {
            return holds.clone();
        }
        if part.parents.is_empty() {
            return self.cuts[&part.id].keys().map(|trace| (part.id, *trace)).collect();
        }
        let of_parents = part.parents.iter().flat_map(|id| &self.holds[id]).copied();
        // One that was moved has one parent, one that was joined has four.
        of_parents.filter(|(_, trace)| part.parents.len() > 1 || state.pins.contains(trace)).collect()
    }

    /// Checks that of what was there before nothing is gone but what had to go.
    fn check_gone(&self, state: &State) -> Result<(), TestCaseError> {
        let held = |state: &State| state.parts.keys().flat_map(|id| &self.holds[id]).copied().collect::<BTreeSet<_>>();
        let now: BTreeSet<_> = held(state);
        let mut bytes: u64 = self.seen.parts.values().map(PartEntry::bytes).sum();
        let mut parts: Vec<_> = self.seen.parts.values().filter(|part| !state.parts.contains_key(&part.id)).collect();
        parts.sort_by_key(|part| (came_ns(part), part.id));
        for part in parts {
            let is_retired = self.holds[&part.id].iter().any(|held| !now.contains(held));
            if !is_retired {
                continue;
            }
            let is_old = self.now_ns - came_ns(part) > self.limits.age_ns;
            prop_assert!(is_old || bytes > self.limits.bytes, "{} went too early", part.id);
            bytes -= part.bytes();
            for held in &self.holds[&part.id] {
                let was_pinned = self.seen.pins.contains(&held.1) && state.pins.contains(&held.1);
                prop_assert!(now.contains(held) || !was_pinned, "{} was pinned", held.1);
            }
        }
        Ok(())
    }
}

fn of_cut(holds: &BTreeSet<(PartId, TraceId)>, cut: PartId, rows: &Pieces) -> Pieces {
    rows.iter().filter(|(trace, _)| holds.contains(&(cut, **trace))).map(|(id, piece)| (*id, piece.clone())).collect()
}

/// Reads all rows of a part, each file whole and as it was written.
fn read(objects: &Memory, part: &PartEntry) -> Pieces {
    let mut pieces = Pieces::new();
    if part.file(Table::Traces).is_some() {
        let traces = Traces::new(open(objects, part, Table::Traces)).unwrap();
        for row in traces.read(0..traces.file().n_rows()).unwrap() {
            pieces.entry(row.trace).or_default().facts = row.facts;
        }
    }
    if part.file(Table::Spans).is_some() {
        let spans = Spans::new(open(objects, part, Table::Spans)).unwrap();
        for mut row in spans.read(0..spans.file().n_rows()).unwrap() {
            let Value::Str(name) = &spans.resources()[row.resource.0 as usize][0].value else { panic!("no name") };
            row.resource = ResourceId(name[1..].parse().unwrap());
            pieces.get_mut(&row.trace).unwrap().spans.push(row);
        }
    }
    if part.file(Table::Slices).is_some() {
        let slices = Slices::new(open(objects, part, Table::Slices)).unwrap();
        for row in slices.read(0..slices.file().n_rows()).unwrap() {
            pieces.entry(row.trace).or_default().slices.push(row);
        }
    }
    if part.file(Table::Reports).is_some() {
        let reports = Reports::new(open(objects, part, Table::Reports)).unwrap();
        let traces: Vec<TraceId> = pieces.keys().copied().collect();
        for trace in traces {
            pieces.entry(trace).or_default().reports = reports.find(trace).unwrap();
        }
        let n_found: usize = pieces.values().map(|piece| piece.reports.len()).sum();
        assert_eq!(n_found as u64, reports.file().n_rows());
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// For all rows, orders of steps, interleavings and faults at any object operation: after each step all files that the manifest names are
    /// there as they were written, a reader sees each row that was committed and not retired exactly once, and nothing is retired that is
    /// neither too old nor too much, or pinned.
    #[test]
    fn a_reader_sees_what_was_written_without_what_was_retired(
        steps in vec(step(), 8..40),
        age_min in prop_oneof![Just(100_000_i64), 5..60_i64],
        bytes in prop_oneof![2 => Just(u64::MAX), 1 => 50_000..200_000_u64],
    ) {
        let limits = Limits { age_ns: age_min * MINUTE_NS, agg_age_ns: 0, bytes, fs_share: 1.0 };
        let mut world = World::new(limits);
        for step in &steps {
            world.take(step);
            world.check()?;
        }
    }
}
