//! Claims about the admin API: ids stand as text, and an older or newer peer's JSON is read.

use super::{FireReply, FireRequest, KeptState, Status, route};
use backsight_core::ids::{AgentId, TraceId};

#[test]
fn requests_carry_ids_as_text_and_laterals_may_be_left_out() {
    let request =
        FireRequest { trace: TraceId::new(1, 2), trigger: "cli".to_owned(), laterals: vec![TraceId::new(0, 3)] };
    let json = serde_json::to_string(&request).unwrap();
    assert!(json.contains("\"trace\":\"00000000000000010000000000000002\""), "{json}");
    assert_eq!(serde_json::from_str::<FireRequest>(&json).unwrap(), request);
    let short: FireRequest = serde_json::from_str(r#"{"trace":"2a","trigger":"slow"}"#).unwrap();
    assert_eq!((short.trace, short.laterals.len()), (TraceId::new(0, 42), 0));
    assert!(serde_json::from_str::<FireRequest>(r#"{"trace":"0","trigger":"slow"}"#).is_err());
}

#[test]
fn a_status_of_another_version_is_read() {
    let json = r#"{"agent":"000001a","version":"9","uptime_ms":1,"pid":2,"pool":{"budget_bytes":1,"populated_bytes":1,
        "retained_bytes":1,"kept_bytes":1,"index_bytes":1},"horizon":{"target_ms":10000},"later":true}"#;
    let status: Status = serde_json::from_str(json).unwrap();
    assert_eq!((status.agent, status.horizon.horizon_ms), (AgentId(42), None));
}

#[test]
fn states_have_the_names_that_they_print() {
    for state in [KeptState::Kept, KeptState::NeverSeen, KeptState::Lingering] {
        let json = serde_json::to_string(&FireReply { state, n_segments: 0, bytes: 0 }).unwrap();
        assert!(json.contains(&format!("\"{}\"", state.name())), "{json}");
    }
    assert_eq!(route::trace(TraceId::new(0, 1)), "/v1/traces/00000000000000000000000000000001");
}
