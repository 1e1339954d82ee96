//! Claims about a client without an agent: nothing happens, it says why, and it costs little; an agent that comes is found.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;

use agent::{Agent, Options, fresh_socket, listener};
use backsight_client::{
    Context, Missing, Settings, SpanId, SpanKind, StatusCode, TriggerId, attr, begin, event, exception, init, link,
    named, raw, rename, span, stats, status, trigger,
};
use backsight_ringbuf::abi::ABI_VERSION;
use std::time::{Duration, Instant};

fn everything(context: &Context) {
    let _segment = begin(context);
    let span = span("work");
    assert_eq!(span.id(), SpanId::NONE);
    attr("key", 1_i64);
    attr("text", "value");
    event("event", "message");
    named("payload", &[1; 300]);
    raw(&[2; 100_000]);
    rename("other");
    link(context.trace, SpanId(1));
    status(StatusCode::Error, "why");
    exception("Error", "text");
    assert!(!trigger(TriggerId::MANUAL));
    assert_eq!(Context::current(), None);
}

#[test]
fn without_an_agent_nothing_happens_and_stats_say_why() {
    let socket = fresh_socket();
    let settings = Settings { socket: socket.to_str(), service: None };
    assert!(matches!(init(settings), Err(Missing::NoAgent(_))));
    everything(&Context::new_trace());
    let stats = stats();
    assert_eq!(stats.session, Err(Missing::NoAgent(rustix::io::Errno::NOENT)));
    assert!(!stats.recording && stats.threads == 0 && stats.refusal.is_empty());
}

/// Whoever says too late who it is does not believe that it was heard.
#[test]
fn settings_that_come_after_others_are_refused() {
    let socket = fresh_socket();
    let settings = Settings { socket: socket.to_str(), service: Some("cart") };
    for _ in 0..2 {
        assert!(matches!(init(settings), Err(Missing::NoAgent(_))));
    }
    assert!(matches!(init(Settings::default()), Err(Missing::NoAgent(_))), "which leaves all open");
    let late = init(Settings { service: Some("till"), ..settings });
    assert_eq!(late, Err(Missing::Settings));
    let said = late.unwrap_err().to_string();
    assert!(said.contains("`cart`") && said.contains(socket.to_str().unwrap()), "{said}");
}

#[test]
fn path_that_is_too_long_for_a_socket_is_named_whole() {
    let path = format!("/run/{}", "long/".repeat(30));
    let missing = init(Settings { socket: Some(&path), service: None }).unwrap_err();
    assert_eq!(missing, Missing::NoAgent(rustix::io::Errno::NAMETOOLONG));
    assert!(missing.to_string().contains(&path), "{missing}");
}

/// An agent that was killed leaves its socket.
#[test]
fn socket_that_nobody_listens_on_is_told_apart_from_none() {
    let socket = fresh_socket();
    drop(listener(&socket));
    let opened = init(Settings { socket: socket.to_str(), service: None });
    assert_eq!(opened, Err(Missing::NoAgent(rustix::io::Errno::CONNREFUSED)));
    everything(&Context::new_trace());
    let said = stats().session.unwrap_err().to_string();
    let expected = format!("no agent answers on {}: Connection refused", socket.display());
    assert!(said.starts_with(&expected), "{said}");
    std::fs::remove_file(&socket).unwrap();
}

#[test]
fn refusal_is_told_in_the_agents_words() {
    let agent = Agent::start(Options { refuses: true, ..Options::default() });
    let settings = Settings { socket: Some(agent.socket()), service: None };
    while init(settings) == Err(Missing::Timeout) {
        std::thread::sleep(Duration::from_millis(20)); // a loaded machine: the next attempt is a second later
    }
    everything(&Context::new_trace());
    assert_eq!((stats().session, stats().refusal.as_str()), (Err(Missing::Refused), "not today"));
}

/// Whoever asks why nothing is recorded learns both versions and what to do.
#[test]
fn another_abi_is_named_with_both_versions_and_what_to_do() {
    let abi = 0xffff_0007;
    let agent = Agent::start(Options { abi, ..Options::default() });
    let settings = Settings { socket: Some(agent.socket()), service: None };
    while init(settings) == Err(Missing::Timeout) {
        std::thread::sleep(Duration::from_millis(20)); // a loaded machine: the next attempt is a second later
    }
    everything(&Context::new_trace());
    let missing = stats().session.unwrap_err();
    let ours = format!("{}.{}", ABI_VERSION >> 16, ABI_VERSION & 0xffff);
    let expected = "rebuild the program or update the agent";
    let expected = format!("the agent has shared-memory ABI 65535.7, the program {ours}: {expected}");
    assert_eq!((missing, missing.to_string()), (Missing::Abi { agent: abi }, expected));
}

#[test]
fn another_minor_version_of_the_abi_is_no_reason() {
    let agent = Agent::start_joined(Options { abi: ABI_VERSION + 9, ..Options::default() });
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        drop(span("work"));
    }
    assert_eq!(agent.trace(context.trace).spans.len(), 1);
}

#[test]
fn socket_that_nobody_answers_delays_the_start_by_20_ms_at_most() {
    let socket = fresh_socket();
    let silent = listener(&socket);
    let start = Instant::now();
    let opened = init(Settings { socket: socket.to_str(), service: None });
    let took = start.elapsed();
    assert_eq!(opened, Err(Missing::Timeout));
    assert!(took < Duration::from_millis(200), "{took:?}"); // 20 ms, and a loaded machine
    everything(&Context::new_trace());
    drop(silent);
}

#[test]
fn agent_that_answers_late_is_heard_on_the_connection_that_waits() {
    let socket = fresh_socket();
    let busy = listener(&socket);
    let settings = Settings { socket: socket.to_str(), service: Some("patient") };
    assert_eq!(init(settings), Err(Missing::Timeout));
    std::fs::remove_file(&socket).unwrap(); // so that nobody connects once more
    let agent = Agent::start_on(busy, &socket, Options::default());
    let deadline = Instant::now() + Duration::from_secs(10);
    while init(settings).is_err() {
        assert!(Instant::now() < deadline, "{:?}", stats());
        std::thread::yield_now();
    }
    let context = Context::new_trace();
    {
        let _segment = begin(&context);
        drop(span("work"));
    }
    assert_eq!(agent.trace(context.trace).spans.len(), 1);
    assert_eq!(agent.look(|sessions| sessions.len()), 1);
}

#[test]
fn agent_that_comes_later_is_found_within_a_second() {
    let socket = fresh_socket();
    assert!(init(Settings { socket: socket.to_str(), service: Some("early") }).is_err());
    let agent = Agent::start_at(&socket, Options::default());
    let start = Instant::now();
    let context = Context::new_trace();
    while stats().session.is_err() {
        drop(begin(&context));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    {
        let _segment = begin(&context);
        let _span = backsight_client::Span::start("found", SpanKind::Server);
    }
    let trace = agent.trace(context.trace);
    assert_eq!(trace.spans.len(), 1);
    assert_eq!((&*trace.spans[0].name, &*trace.processes[0].service), ("found", "early"));
}
