//! Claims about batches: names are numbered once, and a batch that is full says so and stays as it was.

use super::interner::Interner;
use super::{Batch, RESOURCES_MAX, RESOURCES_MAX_BYTES};
use crate::rows::{Attribute, ResourceId, SpanRow, Value};
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
fn resources_that_say_the_same_are_one() {
    let mut batch = Batch::new(1);
    let of = |key: &'static str, value| [Attribute::new(key, value)];
    let text = of("k", Value::Str("1".into()));
    let others = [of("k", Value::Int(1)), of("k1", Value::Str("".into())), of("k", Value::Dbl(f64::NAN))];
    let first = batch.resource(&text).unwrap();
    let others: Vec<_> = others.iter().map(|other| batch.resource(other).unwrap()).collect();
    assert_eq!((first, others), (ResourceId(0), [1, 2, 3].map(ResourceId).into()));
    assert_eq!(batch.resource(&text), Ok(first));
    assert_eq!(batch.resource(&of("k", Value::Dbl(f64::NAN))), Ok(ResourceId(3)));
    assert_eq!(batch.resource(&[]), Ok(ResourceId(4)));
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
