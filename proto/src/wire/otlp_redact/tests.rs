//! What is rewritten is what the official types say it should be, whatever came.

use super::{Redacted, Redaction, Redactor, redact};
use crate::wire::otlp_visit::testing::some_request;
use crate::wire::otlp_visit::tests::disturb::{Dice, disturbed};
use crate::wire::otlp_visit::{DEPTH_MAX, Limits, OtlpError, Value, write};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Official;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use prost::Message;

/// Drops `a`, puts a text in the place of `b`, and of texts in `c`, `d` and below.
struct Rules;

const DROPS: usize = 0;
const HIDES: usize = 1;
const MASKS: usize = 2;

impl Redactor for Rules {
    fn rule(&self, key: &[u8]) -> Option<usize> {
        match key {
            b"a" | b"aa" => Some(DROPS),
            b"b" => Some(HIDES),
            b"c" | b"d" => Some(MASKS),
            _ => None,
        }
    }

    fn apply(&self, rule: usize, value: &Value<'_>) -> Redaction {
        match (rule, value) {
            (DROPS, _) => Redaction::Drop,
            (HIDES, _) => Redaction::Text("hidden".to_owned()),
            (_, Value::Text(_)) => Redaction::Text("masked".to_owned()),
            (_, Value::List(_) | Value::Map(_)) => Redaction::Inside,
            _ => Redaction::Keep,
        }
    }
}

fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Official::StringValue(text.to_owned())) })
}

/// Says of official attributes what is to become of them.
fn model(pairs: &mut Vec<KeyValue>, rule: Option<usize>) {
    pairs.retain_mut(|pair| {
        let rule = Rules.rule(pair.key.as_bytes()).or(rule);
        match rule {
            Some(DROPS) => return false,
            Some(HIDES) => pair.value = text("hidden"),
            rule => pair.value.iter_mut().for_each(|value| model_value(value, rule)),
        }
        if rule.is_some() {
            pair.value.get_or_insert_default();
        }
        true
    });
}

fn model_value(value: &mut AnyValue, rule: Option<usize>) {
    match &mut value.value {
        Some(Official::StringValue(text)) if rule == Some(MASKS) => *text = "masked".to_owned(),
        Some(Official::ArrayValue(list)) => list.values.iter_mut().for_each(|value| model_value(value, rule)),
        Some(Official::KvlistValue(map)) => model(&mut map.values, rule),
        _ => {}
    }
}

fn model_request(request: &mut ExportTraceServiceRequest) {
    for resource_spans in &mut request.resource_spans {
        resource_spans.resource.iter_mut().for_each(|resource| model(&mut resource.attributes, None));
        for scope_spans in &mut resource_spans.scope_spans {
            scope_spans.scope.iter_mut().for_each(|scope| model(&mut scope.attributes, None));
            for span in &mut scope_spans.spans {
                model(&mut span.attributes, None);
                span.events.iter_mut().for_each(|event| model(&mut event.attributes, None));
                span.links.iter_mut().for_each(|link| model(&mut link.attributes, None));
            }
        }
    }
}

fn of(request: &[u8]) -> Result<Redacted, OtlpError> {
    redact(request, &Limits::default(), &Rules)
}

proptest! {
    /// For any request: each attribute that a rule concerns is as the rule says, wherever it stands, and all else is as it came.
    #[test]
    fn attributes_are_as_rules_say_and_all_else_as_it_came(request in some_request()) {
        let redacted = of(&request.encode_to_vec()).unwrap();
        let mut expected = request;
        model_request(&mut expected);
        let read = ExportTraceServiceRequest::decode(redacted.request.as_slice()).unwrap();
        prop_assert_eq!(read.encode_to_vec(), expected.encode_to_vec(), "{:#?} {:#?}", read, expected);
    }

    /// For any request whose fields were shuffled, repeated, torn apart and mixed with unknown ones: rules hold for what prost makes of it, so that
    /// nothing slips through in pieces.
    #[test]
    fn rules_hold_for_what_protobuf_says_that_order_pieces_and_repetition_mean(request in some_request(), seed in any::<u64>()) {
        let bytes = disturbed(&request.encode_to_vec(), &mut Dice(seed));
        let mut expected = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        model_request(&mut expected);
        let read = ExportTraceServiceRequest::decode(of(&bytes).unwrap().request.as_slice()).unwrap();
        prop_assert_eq!(read.encode_to_vec(), expected.encode_to_vec(), "{:#?} {:#?}", read, expected);
    }

    /// For any bytes: no panic, and what is rewritten is rewritten to itself.
    #[test]
    fn any_bytes_are_refused_or_rewritten(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(redacted) = of(&bytes) {
            prop_assert_eq!(&of(&redacted.request).unwrap().request, &redacted.request);
            prop_assert!(redacted.request.len() <= bytes.len() + 64);
        }
    }
}

/// Returns a request with one resource that has one attribute of these fields.
fn request(pair: &[&[u8]]) -> Vec<u8> {
    let (mut resource, mut resource_spans, mut request) = (Vec::new(), Vec::new(), Vec::new());
    write::bytes(1, &pair.concat(), &mut resource);
    write::bytes(1, &resource, &mut resource_spans);
    write::bytes(1, &resource_spans, &mut request);
    request
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_value_in_pieces_or_behind_a_second_key_does_not_slip_through() {
    let key_b = [0x0a, 1, b'b'];
    let secret = [&[0x12, 8, 0x0a, 6][..], b"secret"].concat();
    let nothing = [0x12, 0];
    let other_key = [0x0a, 1, b'x'];
    let pairs: [&[&[u8]]; 4] =
        [&[&key_b, &secret, &nothing], &[&secret, &key_b], &[&other_key, &secret, &key_b], &[&key_b, &secret, &secret]];
    for pair in pairs {
        let redacted = of(&request(pair)).unwrap();
        assert!(!holds(&redacted.request, "secret") && holds(&redacted.request, "hidden"), "{pair:?}");
        assert_eq!(redacted.n_attributes, 1);
    }
    // Of several kinds of a value the last counts; a mask keeps numbers, and must not keep the text before one.
    let number_after_text = [&[0x12, 10, 0x0a, 6][..], b"secret", &[0x18, 5]].concat();
    let redacted = of(&request(&[&[0x0a, 1, b'c'], &number_after_text])).unwrap();
    assert!(!holds(&redacted.request, "secret"), "{redacted:?}");
    assert_eq!(redacted.request, request(&[&[0x0a, 1, b'c'], &[0x12, 2, 0x18, 5]]));
}

#[test]
fn what_cannot_be_read_of_a_value_under_a_rule_goes_with_its_key() {
    let redacted = of(&request(&[&[0x0a, 1, b'c'], &[0x12, 4, 0x0a, 2, 0xff, b's']])).unwrap();
    assert_eq!(redacted.request, [0x0a, 2, 0x0a, 0], "a resource without attributes");
}

#[test]
fn values_deeper_than_are_ever_read_are_not_copied() {
    let secret = [&[0x0a, 6][..], b"secret"].concat();
    let nested = (0..DEPTH_MAX * 4).fold(secret, |inner, _| {
        let (mut list, mut value) = (Vec::new(), Vec::new());
        write::bytes(1, &inner, &mut list);
        write::bytes(5, &list, &mut value);
        value
    });
    let mut pair = vec![0x0a, 1, b'x'];
    write::bytes(2, &nested, &mut pair);
    assert!(!holds(&of(&request(&[&pair])).unwrap().request, "secret"));
    pair[2] = b'c';
    assert!(!holds(&of(&request(&[&pair])).unwrap().request, "secret"));
}

#[test]
fn a_request_that_grows_too_large_is_refused() {
    let limits = Limits { request_max: 20, ..Limits::default() };
    let request = request(&[&[0x0a, 1, b'b'], &[0x12, 0]]);
    assert!(redact(&request, &limits, &Rules).is_ok());
    let limits = Limits { request_max: 17, ..Limits::default() };
    let error = redact(&request, &limits, &Rules).unwrap_err();
    assert!(error.is_too_large(), "{error}");
    assert!(redact(&[0; 30], &limits, &Rules).unwrap_err().is_too_large());
}
