//! Claims about parts: what is written is read back equal, in the stated order, whatever was in it.

pub(crate) mod any;

use super::read::{File, Limits, Slices, Spans, Traces, Wanted, verify};
use super::write::{Cut, write_with_aggregates};
use super::{PartId, ROW_GROUP_ROWS};
use crate::agg::Aggregates;
use crate::batch::Batch;
use crate::manifest::entry::PartEntry;
use crate::objects::testing::Memory;
use crate::promote::Forced;
use crate::rows::{Attribute, List, ResourceId, SliceRow, SpanRow, TraceFacts, Value};
use crate::schema::Table;
use backsight_core::ids::{SpanId, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Writes `batch` with columns for `promote`.
pub(crate) fn cut(batch: &Batch, promote: &[&str], objects: &Memory) -> PartEntry {
    cut_with(batch, &Aggregates::default(), promote, objects)
}

/// Writes `batch` and aggregates.
pub(crate) fn cut_with(batch: &Batch, aggregates: &Aggregates, promote: &[&str], objects: &Memory) -> PartEntry {
    let forced = Forced { promote: promote.iter().map(|key| (*key).to_owned()).collect(), ..Forced::default() };
    let id = PartId::new(1_782_864_000_000, 7);
    let cut = Cut { id, writer: "w", commit: "c", before: &[], forced: &forced, zstd_level: 1, parents: &[] };
    write_with_aggregates(batch, aggregates, &cut, objects).unwrap()
}

pub(crate) fn open(objects: &Memory, part: &PartEntry, table: Table) -> File {
    let entry = part.file(table).unwrap();
    verify(objects, entry).unwrap();
    File::open(objects, entry).unwrap()
}

/// Returns a batch with the resources that the drawn rows have.
pub(crate) fn batch() -> Batch {
    let mut batch = Batch::new(1);
    for n in 0..any::N_RESOURCES {
        let attributes = [
            Attribute::new("service.name", Value::Str(format!("s{n}").into())),
            Attribute::new("n\"\u{7}", Value::Dbl(f64::from_bits(0x7ff8_0000_0000_0001 + u64::from(n)))),
        ];
        batch.push_resource(&attributes).unwrap();
    }
    batch
}

/// What a list of attributes means: each key once, at its first place, with its last value; and how many came again.
fn once(attributes: &[Attribute<'static>]) -> (Vec<Attribute<'static>>, i32) {
    let mut kept: Vec<Attribute<'static>> = Vec::new();
    for attribute in attributes {
        match kept.iter_mut().find(|kept| kept.key == attribute.key) {
            Some(kept) => kept.value = attribute.value.clone(),
            None => kept.push(attribute.clone()),
        }
    }
    let n_duplicates = (attributes.len() - kept.len()) as i32;
    (kept, n_duplicates)
}

/// Returns the span as it is to be read back.
pub(crate) fn expected(span: &SpanRow<'static>) -> SpanRow<'static> {
    let mut span = span.clone();
    let (attributes, n_duplicates) = once(&span.attributes);
    span.attributes = attributes.into();
    span.dropped.attrs = span.dropped.attrs.saturating_add(n_duplicates);
    let mut events = span.events.to_vec();
    for event in &mut events {
        let (attributes, n_duplicates) = once(&event.attributes);
        (event.attributes, event.dropped) = (attributes.into(), event.dropped + n_duplicates);
    }
    let mut links = span.links.to_vec();
    for link in &mut links {
        let (attributes, n_duplicates) = once(&link.attributes);
        (link.attributes, link.dropped) = (attributes.into(), link.dropped + n_duplicates);
    }
    (span.events, span.links) = (events.into(), links.into());
    span
}

/// Returns the spans in the order of a part.
fn sorted(spans: &[SpanRow<'static>]) -> Vec<SpanRow<'static>> {
    let mut starts = BTreeMap::new();
    for span in spans {
        let start = starts.entry(span.trace).or_insert(span.start_ns);
        *start = span.start_ns.min(*start);
    }
    let mut sorted: Vec<_> = spans.iter().map(expected).collect();
    sorted.sort_by_key(|span| (starts[&span.trace], span.trace, span.start_ns, span.id));
    sorted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all spans, facts, slices and keys with columns: what is written is read back equal, in the order of the specification; each trace
    /// is found by its id with exactly its rows; and any range of rows is that range of all.
    #[test]
    fn what_is_written_is_read_back(
        spans in vec(any::span(), 1..40),
        facts in vec((any::trace(), any::facts()), 0..5),
        slices in vec(any::slice(), 0..12),
        promote in proptest::sample::subsequence(vec!["a", "b", "c", "g", "int"], 0..5),
        range in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let mut batch = batch();
        for span in &spans {
            batch.push_span(span).unwrap();
        }
        for (trace, facts) in &facts {
            batch.set_trace(*trace, facts).unwrap();
        }
        for slice in &slices {
            batch.push_slice(slice).unwrap();
        }
        let objects = Memory::default();
        let part = cut(&batch, &promote, &objects);
        let read = Spans::new(open(&objects, &part, Table::Spans)).unwrap();
        let all = read.read(0..spans.len() as u64).unwrap();
        let want = sorted(&spans);
        prop_assert_eq!(&all, &want);
        prop_assert_eq!(read.resources(), batch.resources.as_slice());
        let (start, end) = (range.0.index(spans.len() + 1), range.1.index(spans.len() + 1));
        let (start, end) = (start.min(end), start.max(end));
        prop_assert_eq!(&read.read(start as u64..end as u64).unwrap(), &want[start..end]);
        check_traces(&objects, &part, &read, &facts, &want)?;
        check_slices(&objects, &part, &slices)?;
    }
}

fn check_traces(
    objects: &Memory,
    part: &PartEntry,
    spans: &Spans,
    facts: &[(TraceId, TraceFacts<'static>)],
    want: &[SpanRow<'static>],
) -> Result<(), TestCaseError> {
    let facts: BTreeMap<_, _> = facts.iter().cloned().collect();
    let traces = Traces::new(open(objects, part, Table::Traces)).unwrap();
    let rows = traces.read(0..traces.file().n_rows()).unwrap();
    let ids: BTreeSet<_> = want.iter().map(|span| span.trace).chain(facts.keys().copied()).collect();
    prop_assert_eq!(rows.iter().map(|row| row.trace).collect::<BTreeSet<_>>(), ids);
    prop_assert!(rows.is_sorted_by_key(|row| (row.start_ns, row.trace)));
    for row in &rows {
        let of_trace: Vec<_> = want.iter().filter(|span| span.trace == row.trace).cloned().collect();
        prop_assert_eq!(&row.facts, &facts.get(&row.trace).cloned().unwrap_or_default());
        prop_assert_eq!(&spans.read(row.first_row..row.first_row + u64::from(row.n_rows)).unwrap(), &of_trace);
        prop_assert_eq!(traces.find(row.trace).unwrap(), Some(row.clone()));
        let root = of_trace.iter().find(|span| span.parent.is_none());
        prop_assert_eq!(row.root_span, root.map(|span| span.id));
        prop_assert_eq!(row.root_service.as_deref(), root.map(|span| &*span.service));
        prop_assert_eq!(row.root_operation.as_deref(), root.map(|span| &*span.operation));
        prop_assert_eq!(row.n_errors as usize, of_trace.iter().filter(|span| span.status == 2).count());
        prop_assert_eq!(row.services.iter().map(|share| share.spans).sum::<i32>() as usize, of_trace.len());
        prop_assert_eq!(row.services.iter().map(|share| share.errors).sum::<i32>(), row.n_errors);
        let end = of_trace.iter().map(|span| span.start_ns.saturating_add(span.duration_ns)).max();
        prop_assert_eq!(row.end_ns, end.unwrap_or(row.facts.ingest_ns));
        let resources: BTreeSet<_> = of_trace.iter().map(|span| span.resource).collect();
        prop_assert_eq!(row.resources.len(), resources.len());
    }
    prop_assert_eq!(traces.find(TraceId::new(3, 3)).unwrap(), None);
    Ok(())
}

fn check_slices(objects: &Memory, part: &PartEntry, slices: &[SliceRow<'static>]) -> Result<(), TestCaseError> {
    if slices.is_empty() {
        prop_assert!(part.file(Table::Slices).is_none());
        return Ok(());
    }
    let read = Slices::new(open(objects, part, Table::Slices)).unwrap();
    for trace in slices.iter().map(|slice| slice.trace) {
        let mut want: Vec<_> = slices.iter().filter(|slice| slice.trace == trace).cloned().collect();
        want.sort_by_key(|slice| slice.start_ns);
        prop_assert_eq!(read.find(trace).unwrap(), want);
    }
    prop_assert_eq!(read.read(0..slices.len() as u64).unwrap().len(), slices.len());
    Ok(())
}

/// Returns span `n`, one of seven of its trace.
fn span(n: u64) -> SpanRow<'static> {
    let attributes = vec![
        Attribute::new("http.method", Value::Str("GET".into())),
        Attribute::new("user", Value::Str(format!("u{}", n * 7919 % 100_000).into())),
        Attribute::new("bytes", Value::Int(n as i64)),
    ];
    SpanRow {
        trace: TraceId::new((n / 7).wrapping_mul(0x9e37_79b9_7f4a_7c15), n / 7),
        id: SpanId(n + 1),
        parent: (!n.is_multiple_of(7)).then(|| SpanId(n - n % 7 + 1)),
        start_ns: n as i64 * 1000,
        service: "shop".into(),
        attributes: attributes.into(),
        sampling_weight: 1.0,
        resource: ResourceId(0),
        ..SpanRow::default()
    }
}

#[test]
fn traces_over_the_edge_of_a_row_group_are_read_whole() {
    let mut batch = batch();
    let n_spans = ROW_GROUP_ROWS as u64 + 5000;
    (0..n_spans).for_each(|n| batch.push_span(&span(n)).unwrap());
    let objects = Memory::default();
    let part = cut(&batch, &[], &objects);
    assert_eq!(part.promoted.iter().map(|key| key.key.as_str()).collect::<Vec<_>>(), ["bytes", "http.method", "user"]);
    let spans = Spans::new(open(&objects, &part, Table::Spans)).unwrap();
    assert_eq!(spans.file().metadata().metadata().num_row_groups(), 2);
    let traces = Traces::new(open(&objects, &part, Table::Traces)).unwrap();
    for trace_idx in [0, 1, ROW_GROUP_ROWS as u64 / 7, n_spans / 7 - 1] {
        let row = traces.find(span(trace_idx * 7).trace).unwrap().unwrap();
        let want: Vec<_> = (trace_idx * 7..trace_idx * 7 + 7).map(span).collect();
        assert_eq!(spans.read(row.first_row..row.first_row + 7).unwrap(), want);
    }
    check_excluded(&spans);
    let ranges = [3..5, 5..6, ROW_GROUP_ROWS as u64 - 1..ROW_GROUP_ROWS as u64 + 2, n_spans - 1..n_spans];
    let want: Vec<_> = ranges.iter().cloned().flatten().map(span).collect();
    assert_eq!(spans.read_ranges(&ranges).unwrap(), want);
    assert!(spans.read_ranges(&[5..6, 3..4]).is_err());
    // What no part holds is known without reading, but for one in a thousand.
    let n_maybe = (0..2000).filter(|n| !traces.file().candidates(TraceId::new(1, *n)).is_empty()).count();
    assert!(n_maybe < 20, "{n_maybe}");
}

/// Checks what the footer tells of the second row group.
fn check_excluded(spans: &Spans) {
    let file = spans.file();
    let n_spans = file.n_rows() as i64;
    assert_eq!(file.groups().collect::<Vec<_>>(), [0..ROW_GROUP_ROWS as u64, ROW_GROUP_ROWS as u64..n_spans as u64]);
    assert_eq!(file.limits(1, &["attr.bytes"]), Some(Limits::Int(ROW_GROUP_ROWS as i64, n_spans - 1)));
    assert_eq!(file.limits(1, &["service"]), Some(Limits::Str("shop".to_owned(), "shop".to_owned())));
    assert_eq!(file.limits(1, &["attrs_int", "key_value", "key"]), Some(Limits::Nothing));
    assert_eq!(file.limits(1, &["no such column"]), None);
    let n_maybe = (0..1000).filter(|n| file.may_hold(1, &["attr.user"], &format!("none{n}")).unwrap()).count();
    assert!(n_maybe < 150, "{n_maybe}");
    assert!(file.may_hold(1, &["attr.user"], &format!("u{}", (n_spans - 1) * 7919 % 100_000)).unwrap());
    assert!(!file.may_have_key(1, "attrs_str", "user").unwrap());
    assert!(file.memory_bytes() > 10_000);
    let range = 7..9;
    let coded =
        file.columns(&[range], Wanted::Coded(&[&["attr.user"], &["links", "list", "element", "flags"]])).unwrap();
    assert_eq!((coded[0].num_rows(), coded[0].num_columns()), (2, 2));
}

#[test]
fn the_keys_of_a_map_are_told_without_its_rows() {
    let mut batch = batch();
    for n in 0..50 {
        let attributes = if n == 0 { vec![Attribute::new("rare", Value::Str("v".into()))] } else { Vec::new() };
        batch.push_span(&SpanRow { attributes: attributes.into(), ..span(n) }).unwrap();
    }
    let objects = Memory::default();
    let part = cut(&batch, &[], &objects);
    let spans = Spans::new(open(&objects, &part, Table::Spans)).unwrap();
    let has = |map: &str, key: &str| spans.file().may_have_key(0, map, key).unwrap();
    assert!(part.promoted.is_empty());
    assert_eq!((has("attrs_str", "rare"), has("attrs_str", "rarer"), has("attrs_int", "rare")), (true, false, false));
    let holds = |value: &str| spans.file().may_hold(0, &["attrs_str", "key_value", "value"], value).unwrap();
    assert_eq!((holds("v"), holds("another value")), (true, false));
}

#[test]
fn a_list_may_be_lent_for_less_long_than_its_texts_live() {
    let key = String::from("key");
    let mut attributes: Vec<Attribute<'_>> = Vec::new();
    let mut batch = batch();
    for n in 0..3 {
        attributes.clear();
        attributes.push(Attribute::new(key.as_str(), Value::Int(n)));
        let span = SpanRow { attributes: List::Lent(&attributes), ..SpanRow::default() };
        batch.push_span(&span).unwrap();
    }
    assert_eq!(batch.n_spans(), 3);
}
