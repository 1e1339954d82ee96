//! Claims about batches: names are numbered once, a batch that is full says so and stays as it was, and what is taken
//! back or replaced is not there.

use super::interner::Interner;
use super::{Batch, RESOURCES_MAX, RESOURCES_MAX_BYTES};
use crate::objects::testing::Memory;
use crate::part::read::{File, Slices, Spans, Traces};
use crate::part::tests::{any, batch, cut, expected};
use crate::rows::source::RECORDER;
use crate::rows::{Attribute, ReportRow, ResourceId, SliceRow, SpanRow, TraceFacts, TraceRow, Value};
use crate::schema::Table;
use backsight_core::ids::TraceId;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// For all texts: equal ones have one number, others have others, and each number gives its text back.
    #[test]
    fn names_are_numbered_once(texts in vec("[a-c]{0,3}|\\PC{0,4}", 0..3000), seed: u64) {
        let mut interner = Interner::new(seed);
        let mut model: HashMap<&str, u32> = HashMap::new();
        for text in &texts {
            let next = model.len() as u32;
            let want = *model.entry(text).or_insert(next);
            prop_assert_eq!(interner.code(text), want);
        }
        prop_assert_eq!(interner.len(), model.len());
        for (text, code) in model {
            prop_assert_eq!(interner.text(code), text);
        }
    }
}

#[test]
fn a_batch_takes_so_many_resources_and_no_more() {
    let mut batch = Batch::new(1);
    let long = "x".repeat(RESOURCES_MAX_BYTES / 2);
    let attribute = [Attribute::new("k", Value::Str(long.as_str().into()))];
    assert_eq!(batch.push_resource(&attribute), Ok(ResourceId(0)));
    assert!(batch.push_resource(&attribute).is_err());
    (1..RESOURCES_MAX).for_each(|n| assert_eq!(batch.push_resource(&[]), Ok(ResourceId(n as u32))));
    let full = batch.push_resource(&[]).unwrap_err();
    assert_eq!(full.to_string(), "the batch has no room for another resource; cut it first");
    assert!(batch.is_empty());
}

#[test]
fn resources_that_say_the_same_are_one() {
    let mut batch = Batch::new(1);
    let of = |key: &'static str, value| [Attribute::new(key, value)];
    let text = of("k", Value::Str("1".into()));
    let others = [of("k", Value::Int(1)), of("k1", Value::Str("".into())), of("k", Value::Dbl(f64::NAN))];
    let first = batch.shared_resource(&text).unwrap();
    let others: Vec<_> = others.iter().map(|other| batch.shared_resource(other).unwrap()).collect();
    assert_eq!((first, others), (ResourceId(0), [1, 2, 3].map(ResourceId).into()));
    assert_eq!(batch.shared_resource(&text), Ok(first));
    assert_eq!(batch.shared_resource(&of("k", Value::Dbl(f64::NAN))), Ok(ResourceId(3)));
    assert_eq!(batch.shared_resource(&[]), Ok(ResourceId(4)));
}

#[test]
fn a_batch_that_is_full_is_as_before() {
    let mut batch = Batch::new(1);
    batch.push_resource(&[]).unwrap();
    let long = "x".repeat(300 << 20);
    let span = SpanRow {
        attributes: vec![Attribute::new("k", Value::Str(long.as_str().into()))].into(),
        ..SpanRow::default()
    };
    (0..3).for_each(|_| batch.push_span(&span).unwrap());
    let before = batch.memory_bytes();
    assert!(batch.push_span(&span).is_err());
    assert_eq!((batch.n_spans(), batch.memory_bytes()), (3, before));
    batch.push_span(&SpanRow::default()).unwrap();
}

/// Puts rows into a batch: spans, and for each of them a slice and a report of its trace.
fn put(batch: &mut Batch, spans: &[SpanRow<'static>]) {
    for span in spans {
        batch.push_span(span).unwrap();
        batch.push_slice(&SliceRow { trace: span.trace, start_ns: span.start_ns, ..SliceRow::default() }).unwrap();
        let payload = span.id.0.to_le_bytes().to_vec().into();
        batch.push_report(&ReportRow { trace: span.trace, kind: 1, ingest_ns: 2, payload }).unwrap();
    }
}

/// What a part holds.
type Rows = (Vec<SpanRow<'static>>, Vec<TraceRow>, Vec<SliceRow<'static>>);

/// Returns all rows of a part of `batch`.
fn rows(batch: &Batch) -> Rows {
    let objects = Memory::default();
    let part = cut(batch, &[], &objects);
    let file = |table| part.file(table).map(|entry| File::open(&objects, entry).unwrap());
    let spans = file(Table::Spans).map(|file| Spans::new(file).unwrap());
    let traces = file(Table::Traces).map(|file| Traces::new(file).unwrap());
    let slices = file(Table::Slices).map(|file| Slices::new(file).unwrap());
    (
        spans.map_or_else(Vec::new, |table| table.read(0..table.file().n_rows()).unwrap()),
        traces.map_or_else(Vec::new, |table| table.read(0..table.file().n_rows()).unwrap()),
        slices.map_or_else(Vec::new, |table| table.read(0..table.file().n_rows()).unwrap()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all rows before, between and after: what was taken back is in no file, and reports come in their order.
    #[test]
    fn what_was_taken_back_was_never_there(
        before in vec(any::span(), 0..20),
        taken_back in vec(any::span(), 0..20),
        after in vec(any::span(), 0..20),
    ) {
        let (mut with, mut without) = (batch(), batch());
        put(&mut with, &before);
        let mark = with.mark();
        put(&mut with, &taken_back);
        with.take_back(mark);
        put(&mut with, &after);
        put(&mut without, &before);
        put(&mut without, &after);
        prop_assert_eq!(rows(&with), rows(&without));
        let reported: BTreeSet<_> = with.reported().collect();
        prop_assert_eq!(&reported, &before.iter().chain(&after).map(|span| span.trace).collect());
        for trace in reported {
            prop_assert_eq!(with.reports_of(trace), without.reports_of(trace));
        }
    }

    /// For all rows: a trace that is recorded again has the last of its recorded rows, and all that others sent.
    #[test]
    fn a_recorded_trace_takes_the_place_of_what_was_recorded_of_it(
        first in vec(any::span(), 0..20),
        again in vec(any::span(), 0..20),
    ) {
        let (mut replaced, mut expected) = (batch(), batch());
        put(&mut replaced, &first);
        let traces: BTreeSet<_> = first.iter().map(|span| span.trace).collect();
        traces.iter().for_each(|trace| replaced.replace_recorded(*trace));
        let kept = first.iter().filter(|span| span.source != RECORDER);
        kept.for_each(|span| expected.push_span(span).unwrap());
        for span in &again {
            replaced.push_span(span).unwrap();
            expected.push_span(span).unwrap();
        }
        prop_assert_eq!(rows(&replaced).0, rows(&expected).0);
    }
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all spans: a batch hands them back as a part would, in the order in which they came, all of them and those of each trace; and
    /// counts only those that came first.
    #[test]
    fn rows_are_handed_back_while_the_batch_grows(
        spans in proptest::collection::vec(any::span(), 0..40),
        n_rows: prop::sample::Index,
    ) {
        let mut batch = crate::part::tests::batch();
        spans.iter().for_each(|span| batch.push_span(span).unwrap());
        let want: Vec<_> = spans.iter().map(expected).collect();
        prop_assert_eq!(&batch.spans(0..usize::MAX).collect::<Vec<_>>(), &want);
        let n_rows = n_rows.index(spans.len() + 1);
        prop_assert_eq!(batch.times(n_rows..spans.len()).count(), spans.len() - n_rows);
        for trace in batch.trace_ids(0..usize::MAX).collect::<Vec<_>>() {
            let of_trace: Vec<_> = want[..n_rows].iter().filter(|span| span.trace == trace).cloned().collect();
            prop_assert_eq!(batch.starts_of(trace, n_rows).min(), of_trace.iter().map(|span| span.start_ns).min());
            prop_assert_eq!(batch.spans_of(trace, n_rows), of_trace);
        }
        prop_assert_eq!(batch.spans_of(TraceId::new(5, 5), 9).len(), 0);
    }
}

#[test]
fn what_is_known_of_a_trace_is_handed_back() {
    let mut batch = Batch::new(1);
    let trace = TraceId::new(1, 2);
    assert_eq!((batch.has_trace(trace, 9), batch.facts_of(trace)), (false, None));
    let facts = TraceFacts { completeness: 1, ..TraceFacts::default() };
    batch.set_trace(trace, &facts).unwrap();
    assert_eq!((batch.has_trace(trace, 1), batch.has_trace(trace, 0)), (true, false));
    assert_eq!(batch.facts_of(trace), Some(&facts));
    let id = batch.push_resource(&[Attribute::new("k", Value::Int(1))]).unwrap();
    assert_eq!((batch.resource(id).len(), batch.resource(ResourceId(7)).len()), (1, 0));
}
