//! Searches from text: whatever is read prints as a text that is read as the same, any trace is found or not, and completion stays in the text.
#![no_main]

use backsight_core::ids::SpanId;
use backsight_core::record::StatusCode;
use backsight_core::trace::{Attribute, AttributeValue};
use backsight_query::language::{complete, matches, parse};
use backsight_query::rows::{EventRow, ProcessRow, SpanRow, TraceRows};
use libfuzzer_sys::fuzz_target;

/// Returns a trace whose texts are `text` throughout.
fn trace(text: &str) -> TraceRows {
    let values = [
        AttributeValue::Str(text.into()),
        AttributeValue::I64(500),
        AttributeValue::F64(0.5),
        AttributeValue::Bool(true),
    ];
    let keys = ["a", "b", "c", "d"];
    let attributes: Vec<_> =
        keys.into_iter().zip(values).map(|(key, value)| Attribute { key: key.into(), value }).collect();
    let span = SpanRow {
        id: SpanId(1),
        operation: text.into(),
        status: StatusCode::Error,
        duration_ns: text.len() as u64,
        events: vec![EventRow { at_ns: 1, name: text.into(), attributes: attributes.clone() }],
        attributes,
        ..SpanRow::default()
    };
    let process = ProcessRow { service: "shop".into(), ..ProcessRow::default() };
    TraceRows { spans: vec![span], processes: vec![process], ..TraceRows::default() }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let completion = complete(text, bytes.first().map_or(0, |first| usize::from(*first)));
    assert!(text.get(completion.replaces).is_some(), "what is replaced lies in the text");
    let query = match parse(text, 7) {
        Ok(query) => query,
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column()), "an error stands in the text");
            return;
        }
    };
    // Printed, escapes and short forms may take more room than they had.
    if let Ok(read) = parse(&query.to_string(), 8) {
        assert_eq!(read, query);
    }
    matches(&query, &trace(text));
});
