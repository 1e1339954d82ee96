//! Claims about batches: names are numbered once, and a batch that is full says so and stays as it was.

use super::interner::Interner;
use super::{Batch, RESOURCES_MAX, RESOURCES_MAX_BYTES};
use crate::part::tests::{any, expected};
use crate::rows::{Attribute, ResourceId, SpanRow, TraceFacts, Value};
use backsight_core::ids::TraceId;
use proptest::prelude::*;
use std::collections::HashMap;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// For all texts: equal ones have one number, others have others, and each number gives its text back.
    #[test]
    fn names_are_numbered_once(texts in proptest::collection::vec("[a-c]{0,3}|\\PC{0,4}", 0..3000), seed: u64) {
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
