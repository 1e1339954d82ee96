//! OTLP trace requests of strangers: the first byte says in which form. Whatever is read is shown within the limits, each key once, in order;
//! and a request in JSON means what it means as protobuf.
#![no_main]

use backsight_proto::wire::otlp_json;
use backsight_proto::wire::otlp_visit::{
    Attribute, Decoded, Limits, OtlpSink, Reason, ResourceView, ScopeView, SpanView, Value, visit,
};
use libfuzzer_sys::fuzz_target;

/// Little, so that a fuzzer's input is over each.
const LIMITS: Limits = Limits { request_max: 1 << 16, attr_value_max: 64, attrs_max: 20, events_max: 4, depth_max: 4 };

fuzz_target!(|bytes: &[u8]| {
    let Some((form, bytes)) = bytes.split_first() else { return };
    match form % 2 {
        0 => drop(checked(bytes)),
        _ => json(bytes),
    }
});

/// Visits a request and checks what is shown.
fn checked(bytes: &[u8]) -> Option<(Checked, Decoded)> {
    let mut sink = Checked::default();
    let decoded = visit(bytes, &LIMITS, &mut sink).ok()?;
    assert_eq!(sink.n_spans, decoded.n_taken);
    Some((sink, decoded))
}

fn json(bytes: &[u8]) {
    let Ok(encoded) = otlp_json::to_protobuf(bytes, &LIMITS) else { return };
    assert!(encoded.len() <= bytes.len(), "protobuf is no longer than JSON");
    let mut sink = Checked::default();
    let decoded = otlp_json::visit(bytes, &LIMITS, &mut sink).expect("what was written can be read");
    assert_eq!(checked(&encoded), Some((sink, decoded)));
}

#[derive(PartialEq, Debug, Default)]
struct Checked {
    n_resources: u64,
    n_scopes: u64,
    n_spans: u64,
    n_values: u64,
}

impl OtlpSink for Checked {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        self.n_resources += 1;
        self.attributes(resource.attributes);
    }

    fn scope(&mut self, scope: &ScopeView<'_>) {
        assert!(self.n_resources > 0, "a scope comes behind its resource");
        self.n_scopes += 1;
        self.attributes(scope.attributes);
    }

    fn span(&mut self, span: &SpanView<'_>) -> Result<(), Reason> {
        assert!(self.n_scopes > 0, "a span comes behind its scope");
        assert!(!span.trace.is_none() && !span.span.is_none() && span.parent.is_none_or(|parent| !parent.is_none()));
        assert!(span.start_ns <= span.end_ns && span.end_ns <= i64::MAX as u64);
        assert!(span.events.len() <= LIMITS.events_max && span.links.len() <= LIMITS.events_max);
        for text in [span.name, span.trace_state, span.status_message] {
            assert!(text.len() <= LIMITS.attr_value_max);
        }
        self.attributes(span.attributes);
        span.events.iter().for_each(|event| self.attributes(event.attributes));
        span.links.iter().for_each(|link| self.attributes(link.attributes));
        self.n_spans += 1;
        Ok(())
    }
}

impl Checked {
    fn attributes(&mut self, attributes: &[Attribute<'_>]) {
        assert!(attributes.len() <= LIMITS.attrs_max);
        for (idx, attribute) in attributes.iter().enumerate() {
            assert!(attributes[..idx].iter().all(|other| other.key != attribute.key), "each key stands once");
            self.value(&attribute.value, LIMITS.depth_max);
            let mut encoded = Vec::new();
            attribute.value.encode(&mut encoded);
            assert!(encoded.len() <= LIMITS.attr_value_max + 11, "a value is within its limit, its key and length");
        }
    }

    fn value(&mut self, value: &Value<'_>, levels: usize) {
        assert!(levels > 0, "no value is too deep");
        self.n_values += 1;
        match value {
            Value::List(list) => list.iter().for_each(|value| self.value(&value, levels - 1)),
            Value::Map(map) => map.iter().for_each(|attribute| self.value(&attribute.value, levels - 1)),
            _ => {}
        }
    }
}
