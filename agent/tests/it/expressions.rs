//! Triggers that are expressions, and back-tests of them, on an agent as its users meet it.

use crate::client::{Client, Thread};
use crate::harness::{Agent, eventually};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{Kind, SpanKind, StatusCode, ValueType, name_word};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn trace(n: u64) -> TraceId {
    TraceId::new(0xabc, n)
}

/// Records a request whose span ends with `status` and `code` as its attribute `http.status_code`.
fn request(thread: &mut Thread<'_>, n: u64, status: StatusCode, code: i64) {
    let key = thread.client.intern("http.status_code");
    let now = |thread: &Thread<'_>| thread.client.clock.ticks(); // none is written before another
    assert!(thread.begin(trace(n)) && thread.start_span(n, "GET /item", SpanKind::Server));
    let words = [n, name_word(key, 0, ValueType::I64 as u8), code.cast_unsigned()];
    let at = now(thread);
    assert!(thread.writer.record(at, Kind::Attr, 0, words, &[]));
    let at = now(thread);
    assert!(thread.writer.record(at, Kind::Status, 0, [SpanId(n).0, status as u64], &[]));
    thread.end_span(n);
    thread.end();
    thread.client.ring();
}

/// Runs a back-test to its end.
fn tested(agent: &Agent, when: &str) -> Value {
    let (status, begun) = agent.post("/v1/triggers/test", &json!({"when": when, "n_traces": 1000}));
    assert_eq!(status, 200, "{begun}");
    let path = format!("/v1/triggers/test/{}", begun["test"]);
    eventually("the back-test is over", || agent.json(&path).filter(|test| test["is_done"] == true))
}

fn traces(found: &Value) -> BTreeSet<String> {
    let traces = found["traces"].as_array().unwrap();
    traces.iter().map(|found| found["trace"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_back_test_finds_what_the_live_trigger_kept() {
    let when = "kind = server and (status = error or attr(\"http.status_code\") >= 500)";
    let agent = Agent::start(&format!("[[trigger]]\nname = \"failing\"\nwhen = '{when}'\n[walk]\ncpu_share = 1\n"));
    let client = Client::connect(&agent.socket(), "shop");
    let expected: BTreeSet<String> = {
        let mut threads: Vec<Thread<'_>> = (1..4).map(|tid| client.thread(tid)).collect();
        for n in 1..=300_u64 {
            client.wait_for_grants();
            let status = if n.is_multiple_of(10) { StatusCode::Error } else { StatusCode::Ok };
            let code = if n.is_multiple_of(7) { 503 } else { 200 };
            request(&mut threads[n as usize % 3], n, status, code);
        }
        threads.into_iter().for_each(Thread::exit);
        (1..=300).filter(|n| n % 10 == 0 || n % 7 == 0).map(|n| trace(n).to_string()).collect()
    };
    let kept = eventually("all that match are kept", || Some(agent.kept()).filter(|kept| kept.len() >= expected.len()));
    assert!(kept.iter().all(|(_, trigger)| trigger == "failing"), "{kept:?}");
    let kept: BTreeSet<String> = kept.into_iter().map(|(trace, _)| trace).collect();
    assert_eq!(kept, expected);
    let found = tested(&agent, when);
    assert_eq!(traces(&found), kept);
    let n = |name: &str| found[name].as_u64().unwrap();
    assert_eq!((n("n_spans"), n("n_traces"), n("n_refused"), n("n_chunks_evicted")), (300, n("n_matches"), 0, 0));
    assert_eq!((found["complete_share"].as_f64(), n("n_spans_given_up")), (Some(1.0), 0));
    assert!(n("bytes") > 48 * n("n_traces") && found["fires_per_s"].as_f64() > Some(0.0), "{found}");
    let fired = "backsight_agent_triggers_total{trigger=\"failing\"}";
    assert_eq!(agent.metric(fired), Some(expected.len() as u64), "each fired once");
    assert_eq!(agent.metric("backsight_agent_walk_skipped_segments_total"), Some(0));
    assert_eq!(agent.kept().len(), expected.len(), "a back-test keeps nothing");
}

#[test]
fn a_trigger_can_be_set_shown_and_removed_while_the_agent_runs() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    let set = |name: &str, when: Value| agent.post("/v1/triggers/set", &json!({"name": name, "when": when}));
    let shown = |name: &str| {
        let list = agent.json("/v1/triggers").unwrap();
        let found = list["triggers"].as_array().unwrap().iter().find(|of| of["name"] == name).cloned();
        found.map(|of| of["when"].as_str().unwrap().to_owned())
    };
    let mut thread = client.thread(1);
    request(&mut thread, 1, StatusCode::Error, 500);
    let (status, reply) = set("failing", json!("status==error"));
    assert_eq!((status, reply["when"].as_str()), (200, Some("status = error")));
    assert_eq!(shown("failing").as_deref(), Some("status = error"));
    request(&mut thread, 2, StatusCode::Error, 500);
    thread.exit();
    eventually("it fires", || {
        agent.kept().iter().any(|kept| *kept == (trace(2).to_string(), "failing".into())).then_some(())
    });
    assert_eq!(set("failing", Value::Null).0, 200);
    assert_eq!(shown("failing").as_deref(), Some(""));
    for (name, when, said) in [
        ("failing", Value::Null, "trigger failing fires by no expression"),
        ("head", json!("status = error"), "it is read as trigger head"),
        ("failing", json!("status = eror"), "no trigger expression: column 10: found `eror`, expected a status"),
    ] {
        let (status, reply) = set(name, when);
        assert!(status == 400 && reply["error"].as_str().unwrap().starts_with(said), "{reply}");
    }
    assert_eq!(agent.post("/v1/triggers/test", &json!({"when": "duration"})).0, 400);
    assert_eq!(agent.get("/v1/triggers/test/99").0, 404);
    assert_eq!(agent.get("/v1/triggers/test/x").0, 400);
}

#[test]
fn a_bad_expression_ends_the_start_with_its_column() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = crate::harness::command(dir.path(), "[[trigger]]\nname = 'slow'\nwhen = 'duration > fast'\n");
    assert!(!command.status().unwrap().success());
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    for part in ["agent.toml", "trigger.when", "'duration > fast'", "column 12: found `fast`"] {
        assert!(log.contains(part), "no {part} in {log}");
    }
}
