//! An agent that ends and comes again: the process goes on recording with the new one, and forks, counts and dies as before.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;
#[path = "common/host.rs"]
mod host;

use agent::{Agent, Options};
use backsight_client::{Context, Missing, begin, event, register_trigger, span, stats};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Records until `agent` has something of it; returns the trace that it has.
fn until_recorded(agent: &Agent) -> Context {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let context = Context::new_trace();
        {
            let _segment = begin(&context);
            let _span = span("work");
            event("done", "");
        }
        if agent.trace(context.trace).spans.len() == 1 {
            return context;
        }
        assert!(Instant::now() < deadline, "nothing is recorded: {:?}", stats());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn restarted(agent: Agent) -> Agent {
    let path = PathBuf::from(agent.socket());
    drop(agent);
    Agent::start_at(&path, Options::default())
}

#[test]
fn a_process_goes_on_with_the_next_agent_and_its_names_are_known_there() {
    let mut agent = Agent::start_joined(Options::default());
    register_trigger("bricks.slow").unwrap();
    for _ in 0..3 {
        assert_eq!(agent.n_with_name("bricks.slow"), 1);
        let trace = agent.trace(until_recorded(&agent).trace);
        assert_eq!((&*trace.spans[0].name, trace.spans[0].notes.events.len()), ("work", 1));
        agent = restarted(agent);
        until_recorded(&agent);
    }
    let context = Context::new_trace();
    let code = host::fork(|| {
        while stats().session.is_err() {
            drop(begin(&Context::new_trace()));
            std::thread::sleep(Duration::from_millis(10));
        }
        let _segment = begin(&context);
        event("of the child", "");
        true
    });
    assert_eq!((code, agent.trace(context.trace).visits.len()), (0, 1), "children begin anew as ever");
}

#[test]
fn while_there_is_no_agent_nothing_is_recorded_and_the_reason_is_told() {
    let agent = Agent::start_joined(Options::default());
    until_recorded(&agent);
    let path = PathBuf::from(agent.socket());
    drop(agent);
    let deadline = Instant::now() + Duration::from_secs(20);
    while stats().session.is_ok() {
        drop(begin(&Context::new_trace()));
        assert!(Instant::now() < deadline, "{:?}", stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(matches!(stats().session, Err(Missing::NoAgent(_))), "{:?}", stats());
    until_recorded(&Agent::start_at(&path, Options::default()));
}

#[test]
fn a_request_under_way_and_threads_that_write_all_the_while_are_not_disturbed() {
    let agent = Agent::start_joined(Options::default());
    until_recorded(&agent);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let _segment = begin(&Context::new_trace());
                let _span = span("all the while");
                event("beat", "");
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let context = Context::new_trace();
        let segment = begin(&context);
        let open = span("over the restart");
        let agent = restarted(agent);
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(Context::current().map(|current| current.trace), Some(context.trace), "it keeps its request");
        event("still here", "");
        drop(open);
        drop(segment);
        until_recorded(&agent);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(agent.n_corrupt(), 0);
    });
}
