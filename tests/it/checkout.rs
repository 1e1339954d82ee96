//! The smallest example, `examples/checkout`: whatever it calls slow or failing is on its agent, whole.

use anyhow::{Result, ensure};
use backsight_tests::harness::agent::{Agent, AgentOptions};
use backsight_tests::harness::binaries;
use serde_json::Value;
use std::process::Command;

/// Requests that the example itself says were bad: what they were, and their traces.
fn serve(agent: &Agent, seconds: u32, rate: u32) -> Vec<(String, String)> {
    let mut command = Command::new(binaries::find("checkout").unwrap());
    command.env("BACKSIGHT_SOCKET", agent.socket());
    command.args(["--seconds", &seconds.to_string(), "--rate", &rate.to_string()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let bad = told.lines().filter_map(|line| line.split_once(' ')).filter(|(what, _)| ["slow", "error"].contains(what));
    bad.map(|(what, trace)| (what.to_owned(), trace.to_owned())).collect()
}

/// Checks that a trace has its request and all that it did, each with its end, and lost nothing.
fn is_whole(trace: &Value, what: &str) -> Result<()> {
    let spans = trace["spans"].as_array().map_or(&[][..], Vec::as_slice);
    for name in ["POST /checkout", "reserve stock", "charge card"] {
        let ended = |span: &&Value| span["name"] == name && span["duration_ns"].is_u64();
        ensure!(spans.iter().filter(ended).count() == 1, "not one whole `{name}`");
    }
    let has_event = |name: &str| spans.iter().any(|span| span["events"].to_string().contains(name));
    ensure!(has_event("item reserved"), "no event of an item");
    let (event, status) = if what == "slow" { ("retry", "unset") } else { ("declined", "error") };
    ensure!(has_event(event), "no event `{event}`");
    let request = spans.iter().find(|span| span["name"] == "POST /checkout");
    ensure!(request.is_some_and(|span| span["status"] == status), "the request's status is not `{status}`");
    ensure!(trace["losses"].as_array().is_none_or(Vec::is_empty), "something was lost");
    Ok(())
}

#[test]
fn slow_and_failing_requests_of_the_smallest_example_are_whole() {
    let agent = Agent::start(AgentOptions::default()).unwrap();
    let bad = serve(&agent, 1, 2000);
    for what in ["slow", "error"] {
        assert!(bad.iter().any(|(known, _)| known == what), "no request was {what}");
    }
    for (what, trace) in &bad {
        let whole = agent.api().until("a whole trace", |api| {
            let trace = api.json(&format!("/v1/traces/{trace}"))?;
            is_whole(&trace, what).map(Some).map_err(|why| why.context(trace.to_string()))
        });
        whole.unwrap_or_else(|why| panic!("{what} {trace}: {why:#}\n{}", agent.log()));
    }
}
