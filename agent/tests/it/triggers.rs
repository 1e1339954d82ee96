//! What triggers fetch.

use crate::client::Client;
use crate::harness::{Agent, eventually};
use backsight_core::ids::{TraceId, TriggerId};
use serde_json::{Value, json};

fn trace(n: u64) -> TraceId {
    TraceId::new(0xabc, n)
}

fn spans(agent: &Agent, trace: TraceId) -> Vec<String> {
    let found = agent.json(&format!("/v1/traces/{trace}"));
    let spans = found.as_ref().and_then(|found| found["spans"].as_array());
    spans.into_iter().flatten().map(|span| span["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_trigger_keeps_its_trace_and_its_laterals_with_their_names_and_service() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    for n in 1..=20 {
        assert!(thread.visit(trace(n), &format!("GET /item/{n}"), b"payload"));
    }
    thread.fire(TriggerId::MANUAL, trace(7), &[trace(9)]);
    let mut kept = eventually("both are kept", || Some(agent.kept()).filter(|kept| kept.len() == 2));
    kept.sort();
    let manual = |n| (trace(n).to_string(), "manual".to_owned());
    assert_eq!(kept, [manual(7), manual(9)]);
    assert_eq!(spans(&agent, trace(7)), ["GET /item/7"]);
    let found = agent.json(&format!("/v1/traces/{}", trace(9))).unwrap();
    assert!(found.to_string().contains("shop"), "{found}");
    assert_eq!(agent.metric("backsight_agent_triggers_total{trigger=\"manual\"}"), Some(1));
}

#[test]
fn segments_written_after_the_trigger_follow() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    let (mut first, mut second) = (client.thread(1), client.thread(2));
    first.visit(trace(1), "before", b"");
    first.fire(TriggerId::MANUAL, trace(1), &[]);
    eventually("the trace is kept", || (agent.kept().len() == 1).then_some(()));
    second.visit(trace(1), "after", b"");
    eventually("the open chunk is looked into", || (spans(&agent, trace(1)).len() == 2).then_some(()));
    second.exit();
    first.visit(trace(1), "last", b"");
    first.exit();
    eventually("sealed chunks are looked into", || {
        let kept = agent.json("/v1/traces").unwrap();
        (kept["traces"][0]["n_segments"].as_u64() == Some(3)).then_some(())
    });
}

#[test]
fn a_trigger_fired_by_hand_says_what_it_found() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    let mut thread = client.thread(1);
    thread.visit(trace(1), "one", b"");
    let fire = |trace: TraceId, trigger: &str| {
        agent.post("/v1/triggers/fire", &json!({"trace": trace.to_string(), "trigger": trigger}))
    };
    let (status, reply) = fire(trace(1), "cli");
    assert_eq!((status, &reply["state"], &reply["n_segments"]), (200, &json!("kept"), &json!(1)));
    let (status, reply) = fire(trace(2), "slow checkout");
    assert_eq!((status, &reply["state"], &reply["n_segments"]), (200, &json!("never_seen"), &json!(0)));
    let (status, reply) = fire(trace(2), "");
    assert_eq!(status, 404, "{reply}");
    let list = agent.json("/v1/triggers").unwrap();
    let named = |name: &str| list["triggers"].as_array().unwrap().iter().find(|t| t["name"] == name).cloned();
    assert_eq!(named("slow checkout").map(|t| t["fired_total"].clone()), Some(json!(1)));
    assert_eq!(named("cli").map(|t| t["kept_traces"].clone()), Some(json!(1)));
}

#[test]
fn a_trace_that_nobody_asked_for_can_be_read_while_it_is_retained_and_is_not_kept_by_that() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    client.thread(1).visit(trace(1), "one", b"");
    assert_eq!(spans(&agent, trace(1)), ["one"]);
    assert!(agent.kept().is_empty());
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(2))).0, 404);
}

#[test]
fn over_its_rate_a_trigger_is_refused_and_counted() {
    let agent = Agent::start("[triggers]\nrate_per_s = 2\n");
    let client = Client::connect(&agent.socket(), "shop");
    let thread = client.thread(1);
    for n in 1..=20 {
        thread.fire(TriggerId::MANUAL, trace(n), &[]);
    }
    let refused = eventually("all have been decided", || {
        let list = agent.json("/v1/triggers").unwrap();
        let manual: Value = list["triggers"].as_array().unwrap().iter().find(|t| t["name"] == "manual").cloned()?;
        (manual["fired_total"] == 20).then(|| manual["refused_total"].as_u64().unwrap())
    });
    assert!((10..=18).contains(&refused), "{refused}");
    assert_eq!(agent.metric("backsight_agent_drops_total{reason=\"rate\"}"), Some(refused));
}

#[test]
fn interned_strings_of_a_parent_are_valid_in_its_forked_child() {
    let agent = Agent::start("");
    let parent = Client::connect(&agent.socket(), "shop");
    let id = parent.intern("inherited");
    let child = Client::connect_as(&agent.socket(), "shop", Some(parent.region));
    let text = backsight_ringbuf::strings::get(&child.memory, backsight_core::ids::StringId(id));
    assert_eq!(text.as_deref(), Some(b"inherited".as_slice()));
}

#[test]
fn no_trigger_is_lost_when_its_thread_exits_at_once() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    for n in 1..=300 {
        client.wait_for_grants();
        let mut thread = client.thread(n as u32);
        assert!(thread.visit(trace(n), "short", b""));
        thread.fire(TriggerId::MANUAL, trace(n), &[]);
        thread.exit();
    }
    eventually("all are kept", || (agent.kept().len() == 300).then_some(()));
}

#[test]
fn a_trigger_is_shown_by_the_name_that_its_process_left() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "shop");
    let (slow, quoted) = ("bricks.slow", "say \"hi\"");
    let id = |name| TriggerId::from_name(name).unwrap();
    client.intern(slow);
    client.intern(quoted);
    let mut thread = client.thread(1);
    for (n, trigger) in (1..).zip([id(slow), id(quoted), id("nobody told")]) {
        thread.visit(trace(n), "visit", b"");
        thread.fire(trigger, trace(n), &[]);
    }
    let mut kept = eventually("all are kept", || Some(agent.kept()).filter(|kept| kept.len() == 3));
    kept.sort();
    let unknown = id("nobody told").to_string();
    let shown: Vec<_> = kept.iter().map(|(_, trigger)| trigger.as_str()).collect();
    assert_eq!(shown, [slow, quoted, &unknown]);
    let list = agent.json("/v1/triggers").unwrap();
    let named = |name: &str| list["triggers"].as_array().unwrap().iter().find(|of| of["name"] == name).cloned();
    assert_eq!(named(slow).map(|of| of["id"].clone()), Some(json!(id(slow).0)));
    assert_eq!(agent.json("/v1/traces").unwrap()["traces"][0]["trigger_id"].as_u64().map(|id| id >= 256), Some(true));
    assert_eq!(agent.status()["triggers_fired"][slow], json!(1));
    assert_eq!(agent.metric("backsight_agent_triggers_total{trigger=\"bricks.slow\"}"), Some(1));
    assert_eq!(agent.metric("backsight_agent_triggers_total{trigger=\"say \\\"hi\\\"\"}"), Some(1));
    assert_eq!(agent.metric(&format!("backsight_agent_triggers_total{{trigger=\"{unknown}\"}}")), Some(1));
}
