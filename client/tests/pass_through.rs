//! Claims about headers alone: without an agent a request passes on what it brought, whatever that is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use backsight_client::{
    Connection, Context, Incoming, Others, Settings, begin, extract, extract_with, init, inject, response_crumb,
};
use backsight_core::context::{STATE_BYTES_MAX, TraceParent};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn without_agent() {
    let _ = init(Settings { socket: Some("/nonexistent/agent.sock"), service: None });
}

fn passed_on(incoming: &Incoming<'_>) -> String {
    inject(&incoming.context, incoming.others, &Connection::new()).tracestate().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all members of others within the limits, and ours anywhere among them: they keep their order and their bytes, behind ours.
    #[test]
    fn members_of_others_pass_unchanged(
        members in prop::collection::vec("[a-z][a-z0-9@/_-]{0,12}=[a-zA-Z0-9:;.=-]{1,12}", 0..12),
        at in any::<prop::sample::Index>(),
    ) {
        without_agent();
        let ours = "bks=15:0000009.0000008:00000b4";
        let others: Vec<&str> = members.iter().map(String::as_str).filter(|member| !member.starts_with("bks=")).collect();
        let mut all = others.clone();
        all.insert(at.index(others.len() + 1), ours);
        let header = all.join(",");
        let incoming = extract(Some(PARENT), Some(header.as_bytes()));
        let expected = [&[ours], &others[..]].concat().join(",");
        prop_assert_eq!(passed_on(&incoming), &*expected);
        let kept = incoming.others.keep();
        prop_assert_eq!(passed_on(&Incoming { others: kept.get(), ..incoming }), expected);
    }

    /// For all bytes: no panic, and what goes out is a header within the limits that reads back the same.
    #[test]
    fn any_headers_end_within_the_limits(
        parent in prop::collection::vec(prop::sample::select(b"0123456789abcdef-".to_vec()), 0..70),
        state in prop::collection::vec(prop::sample::select(b"bks=,1:.0z ;\t\x00\xff".to_vec()), 0..1500),
        is_good: bool,
    ) {
        without_agent();
        let incoming = extract(Some(if is_good { PARENT } else { &parent }), Some(&state));
        let passed = passed_on(&incoming);
        prop_assert!(passed.len() <= STATE_BYTES_MAX);
        let again = extract(Some(PARENT), Some(passed.as_bytes()));
        prop_assert_eq!(passed_on(&again), passed);
    }
}

#[test]
fn without_an_agent_a_request_passes_on_as_it_came() {
    without_agent();
    let state = b"bks=17:0000004.0000003.0000002.0000001:00000b4.00000b5,a=1";
    let incoming = extract(Some(PARENT), Some(state));
    let _segment = begin(&incoming.context);
    let outgoing = inject(&incoming.context, incoming.others, &Connection::new());
    assert_eq!(outgoing.traceparent().as_bytes(), PARENT, "not sampled before, not sampled after");
    assert_eq!(outgoing.tracestate().as_bytes(), state);
    outgoing.call.answered(Some(b"0000009"), &Connection::new());
    assert_eq!(response_crumb(), None);
}

#[test]
fn malformed_traceparent_begins_a_new_trace_and_drops_the_state() {
    without_agent();
    for parent in [None, Some(&b"00-nonsense"[..]), Some(&[b'0'; 1 << 20][..])] {
        let incoming = extract(parent, Some(b"bks=13:0000004:00000b4,a=1"));
        assert!(!incoming.context.trace.is_none());
        assert_eq!(incoming.others, Others::NONE);
        assert_eq!((incoming.context.carried.from_agent.0, incoming.context.span.0), (0, 0));
        let outgoing = inject(&incoming.context, incoming.others, &Connection::new());
        let passed = TraceParent::parse(outgoing.traceparent().as_bytes()).unwrap();
        assert_eq!((passed.trace, passed.flags), (incoming.context.trace, 3), "sampled, and random");
        assert_eq!(outgoing.headers().map(|(name, _)| name).collect::<Vec<_>>(), ["traceparent"]);
    }
    let (one, other) = (extract(None, None), extract(None, None));
    assert_ne!(one.context.trace, other.context.trace);
}

#[test]
fn malformed_member_is_ignored_and_others_pass() {
    without_agent();
    for bad in ["bks=13", "bks=12:0000000", "bks=12:000000I", "bks=12:zzzzzzz", "bks=22:0000001"] {
        let header = format!("a=1,{bad},b=2");
        let incoming = extract(Some(PARENT), Some(header.as_bytes()));
        assert_eq!(incoming.context.carried.from_agent.0, 0, "{bad}");
        assert_eq!(passed_on(&incoming), "a=1,b=2", "{bad}");
    }
}

#[test]
fn header_of_a_mebibyte_ends_within_the_limits() {
    without_agent();
    let long = format!("a=1,bks=12:0000004,x={}", "y".repeat(1 << 20));
    let incoming = extract(Some(PARENT), Some(long.as_bytes()));
    assert_eq!(passed_on(&incoming), "bks=12:0000004,a=1");
    let many = "k=v,".repeat(1 << 18);
    let passed = passed_on(&extract(Some(PARENT), Some(many.as_bytes())));
    assert_eq!(passed.split(',').count(), 32);
    let endless = vec![b'x'; 1 << 20];
    assert_eq!(passed_on(&extract(Some(PARENT), Some(&endless))), "");
}

#[test]
fn headers_are_found_by_name() {
    without_agent();
    let headers = [("tracestate", &b"bks=12:0000004"[..]), ("traceparent", PARENT)];
    let incoming = extract_with(|name| headers.iter().find(|header| header.0 == name).map(|header| header.1));
    assert_eq!(incoming.context.carried.from_agent.0, 4);
    assert_eq!(Context::current(), None);
}
