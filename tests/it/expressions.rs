//! Trigger expressions, from the application that records to the people who try and set them.

use backsight::{Context, Settings, SpanKind, StatusCode, TraceId};
use backsight_tests::harness::agent::{Agent, AgentOptions};
use backsight_tests::harness::binaries;
use backsight_tests::harness::session::join;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Asks the command that people type for JSON.
fn asked(agent: &Agent, args: &[&str]) -> Value {
    let mut command = Command::new(binaries::find("backsight").unwrap());
    let output =
        command.arg("--json").arg("--agent").arg(agent.folder().join("admin.sock")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn traces(list: &Value) -> BTreeSet<String> {
    let traces = list["traces"].as_array().unwrap();
    traces.iter().map(|of| of["trace"].as_str().unwrap().to_owned()).collect()
}

/// Serves one request, in which a call fails if it is to.
fn serve(items: i64, fails: bool) -> TraceId {
    let context = Context::new_trace();
    let _segment = backsight::begin(&context);
    let _checkout = backsight::span!("checkout", SpanKind::Server);
    {
        let _pay = backsight::span!("pay", SpanKind::Client);
        backsight::attr!("items", items);
        if fails {
            backsight::exception("CardError", "declined twice");
            backsight::status(StatusCode::Error, "402");
        }
    }
    context.trace
}

/// What an expression fires for while requests are served is what the back-test finds afterwards, and what the requests were.
#[test]
fn a_person_sets_an_expression_and_the_back_test_finds_the_same() {
    let agent = Agent::start(AgentOptions::default()).unwrap();
    let socket = agent.socket();
    join(Settings { socket: socket.to_str(), service: Some("shop") }).unwrap();
    let when = "service = \"shop\" and name = \"pay\" and attr(\"items\") > 5 and event_attr(\"exception.type\") = \"CardError\"";
    asked(&agent, &["trigger", "set", "declined", when]);
    // Threads that end hand their chunks over at once.
    let expected: BTreeSet<String> = (0..4)
        .flat_map(|_| {
            let served = std::thread::Builder::new().name("server".to_owned());
            let serve_all = || {
                let requests = (0..40).map(|n| (n % 10, n % 4 == 0));
                let failing = requests.map(|(items, fails)| (serve(items, fails), items > 5 && fails));
                failing.filter(|(_, matches)| *matches).map(|(trace, _)| trace.to_string()).collect::<Vec<_>>()
            };
            served.spawn(serve_all).unwrap().join().unwrap()
        })
        .collect();
    assert!(expected.len() >= 8, "{expected:?}");
    let all_kept = |api: &backsight_tests::harness::api::Api| {
        let kept = api.json(backsight_proto::admin::route::TRACES)?;
        if traces(&kept).len() >= expected.len() { Ok(Some(kept)) } else { anyhow::bail!("not all: {kept}") }
    };
    let kept = agent.api().until("all that match to be kept", all_kept).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(traces(&kept), expected);
    let found = asked(&agent, &["trigger", "test", when, "--traces", "1000"]);
    assert_eq!(traces(&found), expected, "{found}");
    assert_eq!((found["n_spans"].as_u64(), found["complete_share"].as_f64()), (Some(320), Some(1.0)), "{found}");
    let list = asked(&agent, &["trigger", "list"]);
    let declined = list["triggers"].as_array().unwrap().iter().find(|of| of["name"] == "declined").unwrap();
    assert_eq!(declined["fired_total"].as_u64(), Some(expected.len() as u64));
}
