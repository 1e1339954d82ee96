//! Claims about a trace as JSON: it round-trips, times are offsets, and what JSON cannot say is text.

use super::{ClockJson, TraceJson, ValueJson};
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::names::{TriggerName, TriggerNames};
use backsight_core::trace::{
    Attribute, AttributeValue, Firing, Notes, Payload, ProcessClock, ProcessInfo, Span, Trace, Visit,
};

const START_NS: u64 = 1_700_000_000_000_000_000;

fn trace() -> Trace {
    let attribute = |key: &str, value| Attribute { key: key.into(), value };
    let payload =
        |bytes: &[u8]| Payload { at_ns: START_NS + 20, name: None, bytes: bytes.to_vec(), is_truncated: false };
    Trace {
        id: TraceId::new(1, 2),
        processes: vec![
            ProcessInfo { agent: AgentId(42), service: "cart".into(), ..ProcessInfo::default() },
            ProcessInfo { agent: AgentId(43), clock: ProcessClock::Ticks { first: 9 }, ..ProcessInfo::default() },
        ],
        spans: vec![Span {
            id: SpanId(7),
            name: "GET".into(),
            start_ns: START_NS + 10,
            end_ns: Some(START_NS + 60),
            is_started: true,
            notes: Notes {
                attributes: vec![
                    attribute("inf", AttributeValue::F64(f64::NEG_INFINITY)),
                    attribute("list", AttributeValue::Array(vec![AttributeValue::F64(1.5), AttributeValue::I64(-1)])),
                ],
                payloads: vec![payload(b"hello"), payload(&[0xff, 0x00])],
                events: Vec::new(),
            },
            ..Span::default()
        }],
        visits: vec![Visit { process_idx: 1, start_ns: 4, ..Visit::default() }],
        ..Trace::default()
    }
}

#[test]
fn a_trace_round_trips_and_its_times_are_offsets() {
    let json = TraceJson::from(&trace());
    assert_eq!((json.start_unix_ns, json.duration_ns), (START_NS + 10, 50));
    assert_eq!((json.spans[0].at.start_ns, json.spans[0].at.duration_ns), (0, Some(50)));
    assert_eq!((json.visits[0].at.start_ns, json.processes[1].clock), (4, ClockJson::Ticks));
    let text = serde_json::to_string(&json).unwrap();
    assert_eq!(serde_json::from_str::<TraceJson>(&text).unwrap(), json, "{text}");
}

#[test]
fn payloads_are_text_or_hex_and_values_carry_their_type() {
    let json = TraceJson::from(&trace());
    let payloads = &json.spans[0].notes.payloads;
    assert_eq!((payloads[0].text.as_deref(), payloads[0].hex.as_deref()), (Some("hello"), None));
    assert_eq!((payloads[1].text.as_deref(), payloads[1].hex.as_deref()), (None, Some("ff00")));
    let text = serde_json::to_string(&json.spans[0].notes.attributes).unwrap();
    assert_eq!(
        text,
        r#"[{"key":"inf","value":{"f64":"-Infinity"}},{"key":"list","value":{"array":[{"f64":1.5},{"i64":-1}]}}]"#
    );
    let nan = serde_json::to_string(&ValueJson::F64(f64::NAN)).unwrap();
    assert!(matches!(serde_json::from_str(&nan).unwrap(), ValueJson::F64(value) if value.is_nan()));
}

#[test]
fn a_firing_has_the_name_of_its_trigger_and_keeps_the_id() {
    let slow = TriggerName::new("bricks.slow").unwrap();
    let fired = vec![Firing { process_idx: 0, trigger: slow.id(), n_laterals: 0, at_ns: START_NS }];
    let mut trace = Trace { fired, ..trace() };
    let shown = |trace: &Trace| {
        let firing = TraceJson::from(trace).fired.remove(0);
        (firing.trigger, firing.trigger_id)
    };
    assert_eq!(shown(&trace), ("0x8f88809c".to_owned(), "0x8f88809c".to_owned()));
    trace.names = TriggerNames::new();
    assert!(trace.names.add(slow, 1));
    assert_eq!(shown(&trace), ("bricks.slow".to_owned(), "0x8f88809c".to_owned()));
}
