//! An agent that is killed and comes again: what was recorded is there, of processes that run and of those that died meanwhile, and the
//! processes notice nothing.

use backsight::{Context, Settings, SpanKind, TraceId, TriggerId};
use backsight_proto::admin::{Status, route};
use backsight_proto::trace_json::TraceJson;
use backsight_tests::harness::agent::{Agent, AgentOptions};
use backsight_tests::harness::manager::Manager;
use backsight_tests::harness::session::join;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where a test that runs itself once more, as a process to be killed, finds the agent.
const VICTIM: &str = "BACKSIGHT_TEST_RESTART_VICTIM_OF";

fn start(options: AgentOptions<'_>) -> Agent {
    let agent = Agent::start(options).unwrap();
    join(Settings { socket: agent.socket().to_str(), service: Some("shop") }).unwrap();
    agent
}

fn with_keeper() -> AgentOptions<'static> {
    AgentOptions { keep_s: 30, ..AgentOptions::default() }
}

/// Records a request with one span; returns its trace.
fn serve(name: &str) -> TraceId {
    let context = Context::new_trace();
    let _segment = backsight::begin(&context);
    let _span = backsight::Span::start(name, SpanKind::Server);
    context.trace
}

/// Returns the names of the spans that the agent has of `trace`, kept or retained; empty where it has nothing.
fn spans(agent: &Agent, trace: TraceId) -> Vec<String> {
    let found = agent.api().json(&route::trace(trace)).and_then(|json| Ok(serde_json::from_value::<TraceJson>(json)?));
    found.map(|trace| trace.spans.into_iter().map(|span| span.name).collect()).unwrap_or_default()
}

fn status(agent: &Agent) -> Status {
    serde_json::from_value(agent.api().json(route::STATUS).unwrap()).unwrap()
}

/// Waits until the agent keeps `trace` by `trigger`.
#[track_caller]
fn until_kept(agent: &Agent, trace: TraceId, trigger: &str) {
    let is_kept = |api: &backsight_tests::harness::api::Api| {
        let list: backsight_proto::admin::KeptList = serde_json::from_value(api.json(route::TRACES)?)?;
        Ok(list.traces.iter().any(|kept| kept.trace == trace && kept.trigger == trigger).then_some(()))
    };
    agent.api().until("the trace to be kept", is_kept).unwrap_or_else(|error| panic!("{error:#}\n{}", agent.log()));
}

#[test]
fn what_was_recorded_before_and_during_the_outage_is_found_after_it() {
    let mut agent = start(with_keeper());
    let before: Vec<TraceId> = (0..200).map(|_| serve("before")).collect();
    let region = status(&agent).sessions[0].region;
    for round in 0..3 {
        agent.kill().unwrap();
        let during: Vec<TraceId> = (0..20).map(|_| serve("during")).collect();
        agent.start_again(None).unwrap();
        let after = serve("after");
        for (traces, name) in [(&before[..], "before"), (&during, "during"), (&[after], "after")] {
            for trace in traces {
                assert_eq!(spans(&agent, *trace), [name], "round {round}\n{}", agent.log());
            }
        }
        let sessions = status(&agent).sessions;
        assert_eq!(sessions.iter().map(|session| session.region).collect::<Vec<_>>(), [region], "the same session");
    }
    assert!(backsight::stats().drops.is_empty(), "{:?}", backsight::stats());
    assert_eq!(agent.api().metric("backsight_agent_drops_total").unwrap(), 0.0, "nothing is corrupt");
}

/// A process that writes more than it has ahead while there is no agent: it goes on, what it lost is counted, told, and near no trace that is
/// called whole; as soon as there is an agent it records again.
#[test]
fn beyond_the_reserve_records_are_dropped_and_told_until_the_next_agent_comes() {
    let mut agent = start(with_keeper());
    serve("before");
    agent.kill().unwrap();
    let context = Context::new_trace();
    let dropped = || backsight::stats().drops.iter().map(|(_, n)| *n).sum::<u64>();
    {
        let _segment = backsight::begin(&context);
        let _span = backsight::Span::start("long", SpanKind::Server);
        let n_written = (0..100_000)
            .take_while(|_| {
                dropped() == 0 && {
                    backsight::raw(&[7; 1000]);
                    true
                }
            })
            .count();
        assert!(dropped() > 0, "{n_written} records had room");
        assert!(n_written > 5, "the reserve was used first: {n_written}");
        agent.start_again(None).unwrap();
        let is_granted = |_: &backsight_tests::harness::api::Api| {
            let before = dropped();
            backsight::raw(b"again");
            Ok((dropped() == before).then_some(()))
        };
        agent.api().until("a chunk", is_granted).unwrap();
        assert!(backsight::trigger(TriggerId::MANUAL));
    }
    until_kept(&agent, context.trace, "manual");
    let found: TraceJson = serde_json::from_value(agent.api().json(&route::trace(context.trace)).unwrap()).unwrap();
    let n_lost: u64 = found.losses.iter().map(|loss| loss.n_records).sum();
    assert_eq!(n_lost, dropped(), "{:?}", found.losses);
    assert_eq!(spans(&agent, serve("after")), ["after"]);
}

#[test]
fn the_next_agent_keeps_again_what_was_triggered() {
    let mut agent = start(with_keeper());
    let declined = backsight::register_trigger("card.declined").unwrap();
    let (fired, active) = (serve("fired for"), Context::new_trace());
    let laterals: Vec<TraceId> = (0..3).map(|_| serve("lateral")).collect();
    assert!(backsight::trigger_for(declined, fired, &laterals));
    let segment = backsight::begin(&active);
    until_kept(&agent, fired, "card.declined");
    agent.kill().unwrap();
    // Nobody is there to hear it; the signal waits.
    assert!(backsight::trigger(TriggerId::MANUAL));
    drop(segment);
    agent.start_again(None).unwrap();
    for trace in laterals.into_iter().chain([fired]) {
        until_kept(&agent, trace, "card.declined");
    }
    until_kept(&agent, active.trace, "manual");
}

/// Runs the test `name` once more as a process that serves a request and waits to be killed; returns it and the request's trace.
fn victim(agent: &Agent, name: &str) -> (Child, TraceId) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(VICTIM, agent.socket());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let trace = said.filter_map(|line| line.split_once("serves ")?.1.parse().ok()).next().unwrap();
    (child, trace)
}

fn serve_until_killed() -> bool {
    let Some(socket) = std::env::var_os(VICTIM) else { return false };
    join(Settings { socket: socket.to_str(), service: Some("victim") }).unwrap();
    let context = Context::new_trace();
    let _segment = backsight::begin(&context);
    let _span = backsight::span!("served", SpanKind::Server);
    println!("serves {}", context.trace);
    std::thread::sleep(Duration::from_secs(60));
    true
}

#[test]
fn a_process_that_dies_during_the_outage_is_mourned_once() {
    if serve_until_killed() {
        return;
    }
    let mut agent = Agent::start(with_keeper()).unwrap();
    let (mut child, trace) = victim(&agent, "restart::a_process_that_dies_during_the_outage_is_mourned_once");
    agent.kill().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..2 {
        agent.start_again(None).unwrap();
        until_kept(&agent, trace, "process_death");
        assert_eq!(spans(&agent, trace), ["served"]);
        let deaths = agent.api().metric("backsight_agent_deaths_total").unwrap();
        assert!(deaths <= 1.0);
        assert!(
            status(&agent).sessions.iter().all(|session| session.state != backsight_proto::admin::SessionState::Live)
        );
        agent.kill().unwrap();
    }
    agent.start_again(None).unwrap(); // so that its keeper ends with it
}

/// What was open when its process died has no time of its own. Were it as new for each agent as that is, it would outlast all that is recorded later,
/// until only such data is retained.
#[test]
fn what_a_dead_process_left_open_is_no_newer_for_the_next_agent() {
    if serve_until_killed() {
        return;
    }
    const MIB: usize = 1 << 20;
    let config = "[pool]\nprocess_share = 1.0\n";
    let mut agent = start(AgentOptions { budget_bytes: 16 << 20, config, ..with_keeper() });
    let (mut child, trace) = victim(&agent, "restart::what_a_dead_process_left_open_is_no_newer_for_the_next_agent");
    child.kill().unwrap();
    child.wait().unwrap();
    until_kept(&agent, trace, "process_death");
    // Further apart than two looks, so that one of them sees the one gone and the other there.
    fill(4 * MIB);
    let later = serve("later");
    fill(MIB);
    agent.kill().unwrap();
    agent.start_again(None).unwrap();
    let is_retained = || status(&agent).sessions.iter().any(|session| session.service == "victim");
    assert!(is_retained());
    let n_filled = (1..32).take_while(|_| {
        fill(MIB);
        is_retained()
    });
    assert!(n_filled.count() < 31, "the dead process's data is never overwritten");
    assert_eq!(spans(&agent, later), ["later"], "what is older went first");
}

/// Records so many bytes in traces that nobody asks for, at a pace that the agent follows.
fn fill(bytes: usize) {
    const RECORD: [u8; 4096] = [7; 4096];
    for _ in 0..bytes / RECORD.len() {
        let _segment = backsight::begin(&Context::new_trace());
        backsight::raw(&RECORD);
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn a_service_manager_holds_what_belongs_to_a_session_and_lets_go_of_it_with_the_process() {
    if serve_until_killed() {
        return;
    }
    let manager = Manager::start().unwrap();
    let options = AgentOptions { manager: Some(&manager), ..AgentOptions::default() };
    let mut agent = Agent::start(options).unwrap();
    let name = "restart::a_service_manager_holds_what_belongs_to_a_session_and_lets_go_of_it_with_the_process";
    let (mut child, trace) = victim(&agent, name);
    let n_of = |names: &[String], kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
    let is_session = |names: &[String]| ["j", "r", "s", "d"].map(|kind| n_of(names, kind));
    manager.until(|names| is_session(names) == [1; 4]).unwrap();
    for _ in 0..2 {
        agent.kill().unwrap();
        agent.start_again(Some(&manager)).unwrap();
        assert_eq!(spans(&agent, trace), ["served"], "{}", agent.log());
        assert_eq!(is_session(&manager.names()), [1; 4]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    until_kept(&agent, trace, "process_death");
    manager.until(|names| is_session(names) == [1, 1, 0, 0]).unwrap();
}
