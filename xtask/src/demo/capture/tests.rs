//! Tests of which traces are shown.

use super::{Trace, look};
use serde_json::{Value, json};

/// A trace over some hosts, with one span for each status and what its process came to.
fn trace(id: &str, agents: &[&str], statuses: &[&str], death: &Value) -> Trace {
    let processes: Vec<Value> = agents.iter().map(|agent| json!({"agent": agent, "pid": 1, "death": death})).collect();
    let spans: Vec<Value> = statuses.iter().map(|status| json!({"status": status, "name": "serve"})).collect();
    serde_json::from_value(json!({
        "trace": id, "duration_ns": 5, "processes": processes, "spans": spans, "certificate": {"state": "complete", "why": []}
    }))
    .unwrap()
}

#[test]
fn the_slow_one_that_is_shown_is_short_and_has_seen_many_hosts() {
    let none = Value::Null;
    let mut partial = trace("partial", &["a", "b", "c"], &["ok"], &none);
    partial.certificate = None;
    let traces = [
        partial,
        trace("few hosts", &["a"], &["ok"], &none),
        trace("long", &["a", "b"], &["ok", "ok"], &none),
        trace("short", &["a", "b"], &["ok"], &none),
        trace("failing", &["a", "b", "c"], &["error"], &none),
    ];
    let shown = look(&traces);
    assert_eq!((shown.slow.as_deref(), shown.cut, shown.n_deaths), (Some("short"), None, 0));
}

#[test]
fn a_death_counts_where_the_process_worked_for_the_trace() {
    let traces = [
        trace("bystander", &["a"], &["ok"], &json!({"in_this_trace": false, "signal": 0})),
        trace("dead", &["a"], &["error"], &json!({"in_this_trace": true, "signal": 0})),
    ];
    let shown = look(&traces);
    assert_eq!((shown.cut.as_deref(), shown.n_deaths), (Some("dead"), 1));
    assert_eq!(shown.slow.as_deref(), Some("bystander"));
}
