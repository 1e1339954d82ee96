//! A request in JSON is to a sink what it is in protobuf, in every spelling that OTLP allows.

use super::{JsonError, to_protobuf, visit};
use crate::wire::otlp_visit::testing::{Seen, some_request};
use crate::wire::otlp_visit::{Decoded, Limits, OtlpError, OtlpSink, Reason, ResourceView, ScopeView, SpanView};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use prost::Message;

fn seen(json: &[u8]) -> (ExportTraceServiceRequest, Decoded) {
    let mut seen = Seen::default();
    let decoded = visit(json, &Limits::default(), &mut seen).unwrap();
    (seen.0, decoded)
}

/// Returns the one span of a request that is `fields` beside good ids.
fn span(fields: &str) -> Span {
    let (seen, decoded) = seen(request(fields).as_bytes());
    assert_eq!(decoded.n_taken, 1, "{fields}: {decoded:?}");
    seen.resource_spans[0].scope_spans[0].spans[0].clone()
}

fn request(fields: &str) -> String {
    let ids = r#""traceId": "0102030405060708090A0b0c0d0e0f10", "spanId": "00000000000000ff""#;
    format!(r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{{ids}, {fields}}}]}}]}}]}}"#)
}

/// Returns what stands in the attribute `value` in JSON.
fn value(json: &str) -> Option<Value> {
    let span = span(&format!(r#""attributes": [{{"key": "k", "value": {json}}}]"#));
    span.attributes[0].value.clone().unwrap().value
}

proptest! {
    /// For any request: a sink is shown the same, whichever form it came in; and its protobuf form is no longer than its JSON.
    #[test]
    fn both_forms_of_a_request_are_shown_alike(request in some_request()) {
        let json = serde_json::to_string(&request).unwrap();
        let (theirs, told) = Seen::of(&request.encode_to_vec());
        let (ours, decoded) = seen(json.as_bytes());
        prop_assert_eq!(ours.encode_to_vec(), theirs.encode_to_vec(), "{}", json);
        prop_assert_eq!(decoded, told);
        prop_assert!(to_protobuf(json.as_bytes(), &Limits::default()).unwrap().len() <= json.len());
    }

    /// For any bytes, and for any text in which a few were changed: they are read or refused, and end.
    #[test]
    fn any_bytes_are_read_or_refused(
        request in some_request(),
        at in any::<proptest::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut json = serde_json::to_vec(&request).unwrap();
        let at = at.index(json.len());
        let end = (at + bytes.len()).min(json.len());
        json.splice(at..end, bytes.iter().copied());
        for json in [&json, &bytes] {
            drop(visit(json, &Limits::default(), &mut Seen::default()));
        }
    }
}

#[test]
fn numbers_and_enumerations_have_several_spellings() {
    for start in [r#""1700000000000000001""#, "1700000000000000001"] {
        assert_eq!(span(&format!(r#""startTimeUnixNano": {start}"#)).start_time_unix_nano, 1_700_000_000_000_000_001);
    }
    for kind in ["3", "3.0", r#""3""#, r#""SPAN_KIND_CLIENT""#] {
        assert_eq!(span(&format!(r#""kind": {kind}"#)).kind, 3, "{kind}");
    }
    for kind in ["17", "-1", r#""SPAN_KIND_OF_TOMORROW""#, "null"] {
        assert_eq!(span(&format!(r#""kind": {kind}"#)).kind, 0, "{kind}");
    }
    assert_eq!(span(r#""status": {"code": "STATUS_CODE_ERROR", "message": "no"}"#).status.unwrap().code, 2);
    for number in [r#"{"intValue": "-7"}"#, r#"{"intValue": -7}"#, r#"{"int_value": -7}"#] {
        assert_eq!(value(number), Some(Value::IntValue(-7)), "{number}");
    }
    for number in ["0.5", r#""0.5""#, "5e-1"] {
        assert_eq!(value(&format!(r#"{{"doubleValue": {number}}}"#)), Some(Value::DoubleValue(0.5)), "{number}");
    }
    assert_eq!(value(r#"{"doubleValue": 2}"#), Some(Value::DoubleValue(2.0)));
    assert_eq!(value(r#"{"doubleValue": "-Infinity"}"#), Some(Value::DoubleValue(f64::NEG_INFINITY)));
    assert!(matches!(value(r#"{"doubleValue": "NaN"}"#), Some(Value::DoubleValue(of)) if of.is_nan()));
    assert_eq!(value(r#"{"bytesValue": "+/8="}"#), Some(Value::BytesValue(vec![0xfb, 0xff])));
}

#[test]
fn names_are_in_either_case_and_what_nobody_knows_is_skipped() {
    let json = r#"{"unknown": [{"a": [1, "x", null]}], "resource_spans": [{
        "scope_spans": [{"spans": [{
            "trace_id": "0102030405060708090a0b0c0d0e0f10", "span_id": "0102030405060708", "name": "n\u0061me",
            "end_time_unix_nano": 5, "dropped_attributes_count": 2, "ofTomorrow": {"deep": {}}
        }], "schema_url": "u"}],
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    }]}"#;
    let (seen, decoded) = seen(json.as_bytes());
    assert_eq!(decoded.n_taken, 1);
    let of = &seen.resource_spans[0];
    assert_eq!(of.resource.as_ref().unwrap().attributes[0].key, "service.name", "it came behind its spans");
    assert_eq!(of.scope_spans[0].schema_url, "u");
    let span = &of.scope_spans[0].spans[0];
    assert_eq!((span.name.as_str(), span.end_time_unix_nano, span.dropped_attributes_count), ("name", 5, 2));
}

#[test]
fn what_is_wrong_with_one_span_costs_that_span() {
    let good = r#""spanId": "0000000000000001""#;
    let trace = r#""traceId": "0102030405060708090a0b0c0d0e0f10""#;
    let spans = [
        (r#""name": "no ids""#.to_owned(), Reason::TraceId),
        (format!(r#""traceId": "AQIDBAUGBwgJCgsMDQ4PEA==", {good}"#), Reason::TraceId),
        (format!(r#"{trace}, "spanId": "12""#), Reason::SpanId),
        (format!(r#"{trace}, {good}, "parentSpanId": "zzzzzzzzzzzzzzzz""#), Reason::ParentSpanId),
        (format!(r#"{trace}, {good}, "name": "half a pair: \ud83d""#), Reason::InvalidUtf8),
    ];
    for (bad, reason) in spans {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{bad}}}, {{{trace}, {good}}}]}}]}}]}}"#);
        let (_, decoded) = seen(json.as_bytes());
        assert_eq!((decoded.n_taken, decoded.rejected.of(reason), decoded.rejected.total()), (1, 1, 1), "{json}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_its_place() {
    let wrong = ["", "[]", "{", "{}x", "null", "\"x\"", r#"{"resourceSpans": {}}"#, r#"{"resourceSpans": [[]]}"#];
    let in_span = [
        r#""name": 5"#,
        r#""name": ["a"]"#,
        r#""startTimeUnixNano": -1"#,
        r#""startTimeUnixNano": 1.5"#,
        r#""startTimeUnixNano": "soon""#,
        r#""startTimeUnixNano": 1e30"#,
        r#""flags": 4294967296"#,
        r#""kind": true"#,
        r#""status": []"#,
        r#""attributes": {}"#,
        r#""attributes": [{"value": {"bytesValue": "?"}}]"#,
        r#""attributes": [{"value": {"boolValue": "yes"}}]"#,
        r#""attributes": [{"value": {"doubleValue": "much"}}]"#,
    ];
    let wrong = wrong.into_iter().map(str::to_owned).chain(in_span.map(request));
    for json in wrong {
        let error = visit(json.as_bytes(), &Limits::default(), &mut Seen::default()).unwrap_err();
        let JsonError::Json(cause) = &error else { panic!("{json}: {error}") };
        assert!(cause.line() > 0 && !error.is_too_large(), "{json}: {cause}");
    }
    let limits = Limits { request_max: 9, ..Limits::default() };
    let error = visit(b"{        }", &limits, &mut Seen::default()).unwrap_err();
    assert!(matches!(error, JsonError::Otlp(OtlpError::TooLarge { len: 10, max: 9 })) && error.is_too_large());
}

/// Counts attributes of spans.
struct Attributes(usize);

impl OtlpSink for Attributes {
    fn resource(&mut self, _: &ResourceView<'_>) {}

    fn scope(&mut self, _: &ScopeView<'_>) {}

    fn span(&mut self, span: &SpanView<'_>) -> Result<(), Reason> {
        self.0 += span.attributes.len();
        Ok(())
    }
}

#[test]
fn values_too_deep_cost_their_attribute_and_no_stack() {
    let nested = |levels: usize| {
        let (open, close) = (r#"{"kvlistValue": {"values": [{"key": "k", "value": "#, "}]}}");
        format!("{}{}{}", open.repeat(levels - 1), r#"{"boolValue": true}"#, close.repeat(levels - 1))
    };
    for (depth_max, levels, kept) in [(32, 32, 1), (32, 33, 0), (64, 64, 1), (1000, 64, 1), (1000, 100_000, 0)] {
        let json = request(&format!(r#""attributes": [{{"key": "k", "value": {}}}]"#, nested(levels)));
        let limits = Limits { depth_max, attr_value_max: 1 << 20, ..Limits::default() };
        let mut sink = Attributes(0);
        let decoded = visit(json.as_bytes(), &limits, &mut sink).unwrap();
        assert_eq!((sink.0, decoded.repairs.attributes_dropped), (kept, 1 - kept as u32), "{levels}");
    }
    let unknown = format!(r#"{{"unknown": {}{}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert_eq!(seen(unknown.as_bytes()).1, Decoded::default());
}
