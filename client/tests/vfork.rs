//! Claims about children that share their parent's memory until they execute another program: `vfork`, and what is built on it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;
#[path = "common/host.rs"]
mod host;

use agent::{Agent, Options, fresh_socket};
use backsight_client::{Context, Missing, Settings, TriggerId, begin, event, init, raw, span, stats, trigger};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the child records is its parent's, as if that had; that the child closes its descriptors and executes another program is no end of
/// the session, nor a new one, for the thread that waits and for those that run on.
#[test]
fn child_of_vfork_does_not_disturb_its_parents_session() {
    let agent = Agent::start_joined(Options { n_leases: 16, ..Options::default() });
    let before = stats().session;
    let (context, stop) = (Context::new_trace(), AtomicBool::new(false));
    let beside = std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut last = Context::new_trace();
            while !stop.load(Ordering::Relaxed) {
                last = Context::new_trace();
                let segment = begin(&last);
                raw(b"beside");
                drop(segment);
                std::thread::sleep(Duration::from_micros(20)); // all of it has room, however late the agent drains
            }
            last
        });
        let _segment = begin(&context);
        let _work = span("work");
        for _ in 0..20 {
            let code = host::vfork(|| {
                event("of the child", "");
                (3..1024).for_each(host::close); // as programs do before they execute another
                host::execute_true();
                false
            });
            assert_eq!(code, 0, "it executes the program");
            event("of the parent", "");
            assert_eq!(host::vfork(|| stats().session.is_ok()), 0, "it ends by itself");
        }
        assert!(Command::new("true").status().unwrap().success());
        assert!(trigger(TriggerId::MANUAL), "the agent is told");
        stop.store(true, Ordering::Relaxed);
        beside.join().unwrap()
    });
    assert_eq!(stats().session, before);
    assert_eq!(agent.look(|sessions| (sessions.len(), sessions[0].said_goodbye)), (1, false));
    assert_eq!((agent.n_corrupt(), agent.take_signals().len(), stats().drops), (0, 1, Vec::new()));
    let trace = agent.trace(context.trace);
    let events: Vec<_> = trace.spans[0].notes.events.iter().map(|event| &*event.name).collect();
    assert_eq!((events, trace.processes.len()), (["of the child", "of the parent"].repeat(20), 1), "{trace:#?}");
    assert_eq!(&*agent.trace(beside.trace).visits[0].notes.payloads[0].bytes, b"beside");
}

/// A session that the child opened would be over when the child is, while its parent took it for its own.
#[test]
fn child_of_vfork_opens_no_session_for_its_parent() {
    let path = fresh_socket();
    let missing = init(Settings { socket: path.to_str(), service: Some("test") });
    assert!(matches!(missing, Err(Missing::NoAgent(_))), "{missing:?}");
    let agent = Agent::start_at(&path, Options::default());
    // Longer than the second between two attempts.
    let looks_on = || {
        (0..75).all(|_| {
            std::thread::sleep(Duration::from_millis(20));
            stats().session.is_err()
        })
    };
    assert_eq!(host::vfork(looks_on), 0, "the child has none");
    while stats().session.is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(agent.look(|sessions| sessions.len()), 1);
}
